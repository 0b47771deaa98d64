"""Heads without end, from either side: what is kept of them is bounded, and only their connection ends."""

import pytest

from shaper.measure.run import Outcome
from shaper.proxy.bounds import HEAD
from tests.e2e.conftest import until
from tests.robust.conftest import MUCH, closed, pour

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("bystander")]

GET = b"GET http://rough.media.test/ HTTP/1.1\r\nhost: rough.media.test\r\n"
OK = b"HTTP/1.1 200 OK\r\n"


async def test_a_request_head_without_end_is_refused(lab):
    before = lab.bounded("head")
    reader, writer = await lab.dial()
    writer.write(GET + b"x: ")
    assert await pour(writer, b"a" * 65_536) < MUCH
    await closed(reader)
    assert lab.bounded("head") == before + 1


async def test_a_request_head_that_is_too_long_is_told_so(lab):
    reader, writer = await lab.dial()
    writer.write(GET + b"x: " + b"a" * HEAD)
    assert b" 431 " in await closed(reader)


async def test_a_long_request_head_passes(lab):
    lab.rough.answers(OK + b"content-length: 2\r\n\r\nok")
    got = await lab.fetch("/", headers=[("x", "a" * (HEAD - 1000))])
    assert (got.outcome, got.size) == (Outcome.COMPLETE, 2)


async def test_many_small_header_fields_pass(lab):
    lab.rough.answers(OK + b"content-length: 2\r\n\r\nok")
    got = await lab.fetch("/", headers=[("a", "b")] * 5000)
    assert got.size == 2


async def test_a_response_head_without_end_is_the_origins_error(lab):
    before = lab.bounded("head")
    lab.rough.answers(OK + b"x: ", *[b"a" * 65_536] * 500, close=False)
    got = await lab.fetch("/", timeout=10)
    assert got.status == 502
    assert lab.bounded("head") == before + 1


@pytest.mark.parametrize("endless", [b"1;", b"0\r\nx: "])
async def test_chunk_lines_and_trailers_without_end_are_the_origins_error(lab, endless):
    before = lab.bounded("head")
    head = OK + b"transfer-encoding: chunked\r\ncontent-type: image/png\r\n\r\n3\r\nabc\r\n"
    lab.rough.answers(head + endless, *[b"a" * 65_536] * 500, close=False)
    got = await lab.fetch("/", timeout=10)
    assert (got.outcome, got.size) == (Outcome.ERROR, 3)
    assert lab.bounded("head") == before + 1


async def test_a_client_that_sends_on_before_its_answer_is_cut_off(lab):
    before = lab.bounded("head")
    lab.rough.answers(close=False)
    reader, writer = await lab.dial()
    writer.write(GET + b"\r\n")
    assert await until(lambda: lab.rough.connections)
    assert await pour(writer, b"a" * 65_536) < MUCH
    assert await closed(reader) == b""
    assert lab.bounded("head") == before + 1
    assert await until(lambda: lab.outcomes()[-1:] == ["client-abort"])


async def test_requests_sent_ahead_are_answered_in_turn(lab):
    """Pipelining, as RFC 9112 allows it."""
    reader, writer = await lab.dial()
    ask = b"GET http://both.media.test/bytes?size=%d&type=text/css HTTP/1.1\r\nhost: both.media.test\r\n%s\r\n"
    writer.write(b"".join(ask % (size, b"") for size in (1, 2, 3)) + ask % (4, b"connection: close\r\n"))
    answers = await closed(reader)
    assert [answers.count(b"content-length: %d" % size) for size in (1, 2, 3, 4)] == [1, 1, 1, 1]

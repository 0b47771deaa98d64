"""Transcripts of uploads: request bodies of a media type go through a channel of their own, upwards."""

import pytest

BODY = bytes(range(256)) * 4 + bytes(76)
POST = b"POST http://www.media.test/new HTTP/1.1\r\ncontent-type: image/png\r\n"
SENT = b"POST /new HTTP/1.1\r\ncontent-type: image/png\r\n"
DONE = b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n"
BOTH = {"direction": "both"}


@pytest.fixture
def upload(exchange, book, shaping):
    """Start a layer under a rule, and send a request that has a body."""

    def start(request, **rule):
        exchange(rule=rule)
        book.receive("origin", b"HTTP/1.1 204 No Content\r\n\r\n")  # the fixture's own request is done with
        book.done.clear()
        return book.receive("client", request)

    return start


async def test_an_upload_is_slowed_and_its_end_waits(upload, records):
    book = upload(POST + b"transfer-encoding: chunked\r\n\r\n44c\r\n" + BODY + b"\r\n0\r\n\r\n", **BOTH)
    sent = book.to("origin")
    assert sent.startswith(SENT)
    assert len(sent) < 250
    book.wait(0.99)
    assert b"0\r\n\r\n" not in book.to("origin")
    book.wait(0.01)
    assert book.to("origin").endswith(b"\r\n0\r\n\r\n")
    book.receive("origin", DONE)
    assert book.to("client") == DONE
    up = next(record for record in records if record.direction == "up")
    assert (up.reason, up.outcome, up.size, up.held) == ("matched", "complete", 1100, pytest.approx(1))


async def test_an_upload_passes_at_once_when_the_rule_is_for_downloads(upload):
    book = upload(POST + b"content-length: 1100\r\n\r\n" + BODY)
    assert book.to("origin") == SENT + b"content-length: 1100\r\n\r\n" + BODY


async def test_an_upload_of_something_else_passes_at_once(upload, records):
    request = POST.replace(b"image/png", b"application/json") + b"content-length: 1100\r\n\r\n" + BODY
    book = upload(request, **BOTH)
    assert book.to("origin").endswith(BODY)
    assert [record.reason for record in records if record.direction == "up"] == ["no-rule"]


async def test_a_client_that_leaves_its_upload_frees_it(upload, shaping, records):
    book = upload(POST + b"content-length: 2000\r\n\r\n" + BODY, **BOTH)
    assert shaping.levels.backlog == 1000
    book.close("client")
    assert ("origin", "close") in book.done
    assert (shaping.levels.backlog, len(shaping.live), book.ticker.armed) == (0, 0, 0)
    assert {record.outcome for record in records if record.status != 204} == {"client-abort"}


async def test_an_origin_that_dies_under_an_upload_ends_it(upload, shaping):
    book = upload(POST + b"content-length: 2000\r\n\r\n" + BODY, **BOTH)
    book.close("origin")
    book.wait(5)
    assert ("client", "close") in book.done
    assert (shaping.levels.backlog, len(shaping.live)) == (0, 0)


async def test_an_origin_may_answer_before_the_upload_is_through(upload, shaping):
    book = upload(POST + b"content-length: 1100\r\n\r\n" + BODY, **BOTH)
    book.receive("origin", DONE)
    book.wait(1)
    assert book.to("origin").endswith(BODY)
    assert book.to("client") == DONE
    assert not shaping.live


async def test_a_large_upload_holds_the_client(upload, shaping):
    book = upload(POST + b"content-length: 99999\r\n\r\n" + bytes(33_000), **BOTH)
    assert book.is_held("client")
    book.wait(33)
    assert not book.is_held("client")

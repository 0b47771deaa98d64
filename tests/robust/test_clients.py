"""Clients that talk nonsense, lie about their length, or leave their handshakes half done."""

import asyncio
import re

import pytest
from h2.errors import ErrorCodes
from h2.events import ResponseReceived, StreamReset

from shaper.proxy.crowd import SILENT
from tests.e2e.conftest import until
from tests.robust.conftest import closed
from tests.robust.test_crowd import looking  # noqa: F401, a fixture
from tests.robust.test_floods import GET, attack
from tests.robust.test_hello import hello

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("bystander")]

URL = b"http://rough.media.test/"
HOST = b"host: rough.media.test\r\n"


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET " + URL + b" HTTP/1.1\r\n: no name\r\n\r\n",
        b"GET " + URL + b" HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST " + URL + b" HTTP/1.1\r\n" + HOST + b"content-length: -5\r\n\r\n",
        b"POST " + URL + b" HTTP/1.1\r\n" + HOST + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"POST " + URL + b" HTTP/1.1\r\n" + HOST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\nhello",
        b"CONNECT nowhere HTTP/1.1\r\n\r\n",
        b"CONNECT rough.media.test:99999 HTTP/1.1\r\n\r\n",
        b"GET http://rough.media.test:port/ HTTP/1.1\r\n\r\n",
    ],
)
async def test_a_malformed_request_is_refused_and_reaches_no_origin(lab, nonsense):
    reader, writer = await lab.dial()
    writer.write(nonsense)
    answer = await closed(reader)
    assert re.match(rb"HTTP/1\.1 (400|501|502) |$", answer), answer
    assert lab.rough.connections == []


async def test_an_upload_with_a_malformed_chunk_ends_with_its_client(lab):
    got = []

    async def take(reader, writer):
        while data := await reader.read(65_536):
            got.append(data)

    lab.rough.script = take
    reader, writer = await lab.dial()
    writer.write(b"POST " + URL + b" HTTP/1.1\r\n" + HOST + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
    assert await until(lambda: b"hello" in b"".join(got))
    writer.write(b"xyz\r\nevil")
    await closed(reader)
    assert b"evil" not in b"".join(got)
    assert await until(lambda: all(task.done() for task in lab.rough.connections))


@pytest.mark.parametrize(("announced", "sent"), [(5000, 3000), (3000, 5000)])
async def test_a_stream_whose_client_lies_about_its_length_ends_and_others_go_on(lab, announced, sent):
    attacker = await attack(lab)
    post = [(":method", "POST"), *GET[1:3], (":path", "/upload"), ("content-length", str(announced))]
    attacker.machine.send_headers(1, post)
    attacker.machine.send_data(1, bytes(sent), end_stream=True)
    attacker.flush()
    ended = await attacker.hear(StreamReset)
    assert (ended.stream_id, ended.error_code) == (1, ErrorCodes.PROTOCOL_ERROR)
    attacker.machine.send_headers(3, GET, end_stream=True)
    attacker.flush()
    assert dict((await attacker.hear(ResponseReceived)).headers)[":status"] == "200"


async def test_frames_on_streams_that_were_never_opened_end_their_connection(lab):
    attacker = await attack(lab)
    attacker.writer.write(b"\x00\x00\x05\x00\x00\x00\x00\x00\x63hello")  # DATA on stream 99
    ended = await attacker.hear(object, 1)
    while ended is not None and getattr(ended, "error_code", None) is None:
        ended = await attacker.hear(object, 5)
    assert ended is None or ended.error_code in {ErrorCodes.PROTOCOL_ERROR, ErrorCodes.STREAM_CLOSED}


async def test_handshakes_that_are_left_half_done_are_ended_and_told_of_in_one_line(lab, looking):  # noqa: F811
    """Each holds a tunnel, a certificate and a connection to the origin, until it has been silent for too long."""
    before = lab.bounded("silent")
    ends = []
    for _ in range(30):
        reader, writer = await lab.tunnel("both.media.test")
        writer.write(hello("both.media.test")[0])
        ends.append(reader)
    for reader in ends:
        await asyncio.wait_for(reader.readexactly(100), 10)  # it is shown our certificate
    await lab.age(SILENT, 30)
    await asyncio.gather(*(closed(reader) for reader in ends))
    assert lab.bounded("silent") == before + 30

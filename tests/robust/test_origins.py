"""Origins that stall, lie, break off, answer too early or talk nonsense: their client is told, nobody else notices."""

import asyncio
import gzip
from hashlib import sha256

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived, ResponseReceived
from mitmproxy import ctx, http

from shaper.lab.payload import Stream, digest, whole
from shaper.measure.run import Outcome
from shaper.proxy.bounds import EARLY
from tests.e2e.conftest import until
from tests.robust.conftest import pour
from tests.robust.test_floods import GET, attack

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("bystander")]

IMAGE = b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\n"
POST = b"POST http://rough.media.test/ HTTP/1.1\r\nhost: rough.media.test\r\ncontent-length: %d\r\n\r\n"


async def test_a_body_shorter_than_announced_is_an_error_after_its_bytes(lab):
    lab.rough.answers(IMAGE + b"content-length: 5000\r\n\r\n" + bytes(3000))
    got = await lab.fetch("/")
    assert (got.outcome, got.size) == (Outcome.ERROR, 3000)
    assert await until(lambda: lab.outcomes()[-1] == "origin-abort")


async def test_a_body_longer_than_announced_ends_where_it_was_announced(lab):
    """The rest must not become the next response (response splitting)."""
    lab.rough.answers(
        IMAGE + b"content-length: 3000\r\n\r\n" + bytes(3000) + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        close=False,
    )
    async with await lab.connect(host="rough.media.test", scheme="http") as session:
        first = await session.request("/")
        lab.rough.answers(IMAGE + b"content-length: 4\r\n\r\ngood", close=False)
        second = await session.request("/")
    assert (first.outcome, first.size) == (Outcome.COMPLETE, 3000)
    assert (second.size, second.sha256) == (4, sha256(b"good").hexdigest())


@pytest.mark.parametrize(("announced", "sent"), [(5000, 3000), (3000, 5000), (0, 10)])
async def test_a_stream_of_another_length_than_announced_ends_alone(lab, announced, sent):
    """Another one goes on beside it, on the same connection to the same origin."""

    async def lie(reader, writer):
        machine = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        machine.initiate_connection()
        good = None
        while True:
            writer.write(machine.data_to_send())
            for event in machine.receive_data(await reader.read(65_536)):
                if not isinstance(event, RequestReceived):
                    continue
                stream, is_good = event.stream_id, dict(event.headers)[":path"] == "/good"
                good = stream if is_good else good
                length = ("content-length", str(20_000 if is_good else announced))
                machine.send_headers(stream, [(":status", "200"), length])
                if not is_good:
                    machine.send_data(stream, bytes(sent), end_stream=True)
                    writer.write(machine.data_to_send())
                    await asyncio.sleep(0.2)
                    machine.send_data(good, whole(Stream(20_000)), end_stream=True)

    lab.rough.script = lie
    async with await lab.connect("h2", "rough.media.test") as session:
        good = asyncio.create_task(session.request("/good", timeout=10))
        await asyncio.sleep(0.1)
        bad = await session.request("/bad", timeout=10)
        assert bad.outcome is Outcome.ERROR
        assert bad.size <= min(announced, sent)
        got = await good
        assert (got.outcome, got.sha256) == (Outcome.COMPLETE, digest(Stream(20_000)))
    assert len(lab.rough.connections) == 1


async def test_a_truncated_gzip_passes_as_it_is(lab):
    data = gzip.compress(whole(Stream(20_000)))[:-100]
    lab.rough.answers(IMAGE + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(data) + data)
    got = await lab.fetch("/")
    assert (got.outcome, got.sha256) == (Outcome.COMPLETE, sha256(data).hexdigest())


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\n: no name\r\n\r\n",
        b"",
    ],
)
async def test_a_malformed_head_is_the_origins_error(lab, nonsense):
    lab.rough.answers(nonsense)
    got = await lab.fetch("/", timeout=5)
    assert (got.outcome, got.status) == (Outcome.COMPLETE, 502)


@pytest.mark.parametrize("chunk", [b"xyz\r\n", b"-1\r\nabc\r\n", b"3\r\nabcdef\r\n"])
async def test_a_malformed_chunk_is_an_error_after_what_came_before(lab, chunk):
    lab.rough.answers(IMAGE + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n" + chunk)
    got = await lab.fetch("/", timeout=5)
    assert got.outcome is Outcome.ERROR
    assert got.size in (5, 8)


async def test_an_answer_before_the_request_ends_passes_at_once_and_the_request_goes_on(lab):
    taken = []

    async def answer_early(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too large\r\ncontent-length: 3\r\n\r\nno!")
        while data := await reader.read(65_536):
            taken.append(len(data))

    lab.rough.script = answer_early
    reader, writer = await lab.dial()
    writer.write(POST % 1_000_000 + bytes(500_000))
    head = await asyncio.wait_for(reader.readuntil(b"no!"), 5)
    assert b" 413 " in head
    writer.write(bytes(500_000))
    assert await until(lambda: sum(taken) == 1_000_000)


async def test_an_answer_and_a_close_before_the_request_ends_reach_the_client(lab):
    async def answer_and_close(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too large\r\nconnection: close\r\ncontent-length: 3\r\n\r\nno!")
        await writer.drain()
        await asyncio.sleep(0.2)

    lab.rough.script = answer_and_close
    reader, writer = await lab.dial()
    writer.write(POST % 1_000_000 + bytes(100_000))
    assert b" 413 " in await asyncio.wait_for(reader.readuntil(b"no!"), 5)


async def test_an_origin_that_never_answers_is_left_with_its_client(lab):
    async def stall(reader, writer):
        await reader.read(-1)

    lab.rough.script = stall
    got = await lab.fetch("/", timeout=0.5)
    assert got.outcome is Outcome.TIMEOUT
    assert await until(lambda: all(task.done() for task in lab.rough.connections))
    assert await until(lambda: lab.outcomes()[-1] == "client-abort")


@pytest.fixture
def speaks_h1(lab):
    """Have the rough origin asked for HTTP/1.1, so that clients of HTTP/2 get a connection to it for each request."""

    class Speaking:
        def server_connect(self, data):
            if data.server.address[1] in lab.rough.ports:
                data.server.alpn_offers = [b"http/1.1"]

    speaking = Speaking()
    ctx.master.addons.add(speaking)
    yield
    ctx.master.addons.remove(speaking)


async def test_an_origin_that_takes_no_upload_holds_it_and_no_other_stream(lab, speaks_h1):
    async def take_no_upload(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"POST"):
            reader._transport.pause_reading()
            await asyncio.sleep(3600)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await asyncio.sleep(3600)

    lab.rough.script = take_no_upload
    levels = lab.proxy.shaping.levels
    async with await lab.connect("h2", "rough.media.test") as session:
        stuck = [session.request("/", method="POST", body=bytes(30_000_000)) for _ in range(3)]
        tasks = [asyncio.create_task(each) for each in stuck]
        assert await until(lambda: len(lab.rough.connections) == 3)
        await asyncio.sleep(1)
        for _ in range(5):
            page = await session.request("/", timeout=5)
            assert (page.outcome, page.size) == (Outcome.COMPLETE, 2)
        assert levels.backlog < 3 * 5 * 2**20
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_an_upload_waits_with_its_client_until_its_origin_is_there(lab):
    """The connection to the origin is being made, for as long as the test wants."""
    there = asyncio.Event()

    class Slow:
        async def server_connect(self, data):
            await there.wait()

    slow = Slow()
    ctx.master.addons.add(slow)
    try:
        reader, writer = await lab.dial()
        writer.write(POST % 50_000_000)
        took = await pour(writer, bytes(65_536), 50_000_000)
        assert took < EARLY + 2**23  # what kernels take
        lab.rough.answers(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", close=False)
        total = 0

        async def take_all(reader, writer):
            nonlocal total
            await reader.readuntil(b"\r\n\r\n")
            while total < 50_000_000:
                total += len(await reader.read(2**20))
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            await asyncio.sleep(3600)

        lab.rough.script = take_all
        there.set()
        while took < 50_000_000:
            part = bytes(min(65_536, 50_000_000 - took))
            writer.write(part)
            await asyncio.wait_for(writer.drain(), 5)
            took += len(part)
        assert (await asyncio.wait_for(reader.readuntil(b"ok"), 20)).startswith(b"HTTP/1.1 200")
    finally:
        ctx.master.addons.remove(slow)


async def test_a_body_whose_request_is_answered_already_is_not_collected(lab):
    """As for a stranger's upload where credentials are asked for."""

    class Refusing:
        def requestheaders(self, flow):
            if flow.request.path == "/refused":
                flow.request.stream = False
                flow.response = http.Response.make(407, b"who are you?")

    refusing = Refusing()
    ctx.master.addons.add(refusing)
    kept = []
    try:
        reader, writer = await lab.dial()
        writer.write((POST % 20_000_000).replace(b".test/ ", b".test/refused "))
        for _ in range(200):
            writer.write(bytes(100_000))
            await asyncio.wait_for(writer.drain(), 5)
            for visitor in lab.proxy.admitting.visitors.values():
                kept += [len(each.request_body_buf) for layer in visitor.layers for each in layer.streams.values()]
        assert b"who are you?" in await asyncio.wait_for(reader.readuntil(b"you?"), 5)
        assert max(kept) == 0
    finally:
        ctx.master.addons.remove(refusing)


async def test_a_connection_for_each_request_leaves_nothing_behind(lab, speaks_h1):
    """mitmproxy remembers all that it made."""
    lab.rough.answers(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    async with await lab.connect("h2", "rough.media.test") as session:
        for _ in range(50):
            assert (await session.request("/")).size == 2
        assert len(lab.rough.connections) == 50
        assert len(lab.latest.layers[-1].connections) < 20


async def test_invalid_requests_leave_nothing_behind(lab):
    attacker = await attack(lab)
    for _ in range(50):
        stream = attacker.machine.get_next_available_stream_id()
        attacker.machine.send_headers(stream, [GET[0], (":scheme", "gopher"), *GET[2:]], end_stream=True)
        attacker.flush()
        assert dict((await attacker.hear(ResponseReceived)).headers)[":status"] == "400"
    assert len(lab.latest.layers[-1].streams) < 5

"""The relay over real sockets: what either side sends arrives whole, in order, and to its end."""

import asyncio
import contextlib
import hashlib
import random
import socket
from time import monotonic

import pytest
import pytest_asyncio

from shaper.policy.load import loads
from shaper.proxy.relay import Side
from shaper.proxy.server import Proxy, Settings
from shaper.record.metrics import Metrics

POLICY = """
version: 1
study: relay
targets: {media: {hosts: [media.test]}}
rules: [{name: slow, target: media, media: [image], caps: [{rate: 150 kbit/s}]}]
"""
NOISE = random.Random(1).randbytes(5_000_000)


async def until(true, seconds: float = 10.0):
    end = monotonic() + seconds
    while not true() and monotonic() < end:  # noqa: ASYNC110, what is awaited has no event to await
        await asyncio.sleep(0.005)
    return true()


@pytest_asyncio.fixture
async def proxy(tmp_path):
    proxy = Proxy(loads(POLICY, "relay.yaml"), Settings(ca_dir=tmp_path), metrics=Metrics())
    await proxy.start()
    yield proxy
    await proxy.stop()


@contextlib.asynccontextmanager
async def serving(answer):
    """Serve `answer(reader, writer)` on loopback and give the port."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def connect(proxy, port):
    """Return the client's end of a tunnel."""
    reader, writer = await asyncio.open_connection(*proxy.address)
    writer.write(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n".encode())
    assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


def relayed(proxy):
    """Tell whether the one connection that there is has left the layers."""
    (visitor,) = proxy.admitting.visitors.values()
    ends = [io.writer.transport.get_protocol() for io in visitor.handler.transports.values()]
    return len(ends) == 2 and all(isinstance(end, Side) for end in ends)


def counted(proxy, direction):
    return sum(
        sample.value
        for family in proxy.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "shaper_tunnel_bytes_total" and sample.labels["direction"] == direction
    )


async def test_what_a_client_sends_to_its_end_is_answered_after_it(proxy):
    """A half-closed connection: the origin answers only once it has everything."""

    async def answer(reader, writer):
        writer.write(hashlib.sha256(await reader.read(-1)).digest() + NOISE)
        writer.close()

    async with serving(answer) as port:
        reader, writer = await connect(proxy, port)
        writer.write(b"hello")
        assert await until(lambda: relayed(proxy))
        writer.write(NOISE)
        writer.write_eof()
        got = await reader.read(-1)
        assert got == hashlib.sha256(b"hello" + NOISE).digest() + NOISE
        assert await until(lambda: not proxy.admitting.visitors)
        assert (counted(proxy, "up"), counted(proxy, "down")) == (5 + len(NOISE), 32 + len(NOISE))
        writer.close()


async def test_both_directions_at_once_keep_their_bytes_in_order(proxy):
    async def answer(reader, writer):
        while data := await reader.read(10_000):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def send(writer):
        for start in range(0, len(NOISE), 7001):
            writer.write(NOISE[start : start + 7001])
            await writer.drain()
        writer.write_eof()

    async with serving(answer) as port:
        reader, writer = await connect(proxy, port)
        _, got = await asyncio.gather(send(writer), reader.read(-1))
        assert hashlib.sha256(got).digest() == hashlib.sha256(NOISE).digest()
        writer.close()


async def test_an_origin_that_speaks_first_is_heard(proxy):
    async def answer(reader, writer):
        writer.write(b"220 ready\r\n")
        writer.write((await reader.readline()).upper())
        writer.close()

    async with serving(answer) as port:
        reader, writer = await connect(proxy, port)
        writer.write(b"helo\n")
        assert await reader.read(-1) == b"220 ready\r\nHELO\n"
        writer.close()


async def test_a_client_that_does_not_read_holds_the_origin_and_gets_it_all_later(proxy):
    sent = 0

    async def answer(reader, writer):
        nonlocal sent
        await reader.read(1)
        for _ in range(20):
            writer.write(NOISE)
            await writer.drain()
            sent += len(NOISE)
        writer.close()

    async with serving(answer) as port:
        reader, writer = await connect(proxy, port)
        writer.write(b"x")
        assert await until(lambda: relayed(proxy))
        writer.transport.pause_reading()
        await asyncio.sleep(0.5)
        held = sent
        assert held < 20 * len(NOISE)
        writer.transport.resume_reading()
        size = 0
        while data := await reader.read(1 << 20):
            size += len(data)
        assert size == 20 * len(NOISE)
        writer.close()


@pytest.mark.parametrize("who", ["client", "origin"])
async def test_one_side_that_breaks_off_ends_the_other(proxy, who):
    underway, lost = asyncio.Event(), asyncio.Event()

    async def answer(reader, writer):
        await reader.read(1)
        await underway.wait()
        if who == "origin":
            reset(writer)
        with contextlib.suppress(ConnectionError):
            assert await reader.read(1) == b""
        lost.set()
        writer.close()

    async with serving(answer) as port:
        reader, writer = await connect(proxy, port)
        writer.write(b"x")
        assert await until(lambda: relayed(proxy))
        underway.set()
        if who == "client":
            reset(writer)
        else:
            with contextlib.suppress(ConnectionError):
                assert await reader.read(1) == b""
        async with asyncio.timeout(10):
            await lost.wait()
        assert await until(lambda: not proxy.admitting.visitors)
        writer.close()


def reset(writer):
    """Break off without a goodbye."""
    linger_not = (1).to_bytes(4, "little") + (0).to_bytes(4, "little")
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_not)
    writer.transport.abort()

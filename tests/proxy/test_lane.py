"""What lanes ask of the kernel, on real sockets."""

import asyncio
import fcntl
import termios
from array import array
from types import SimpleNamespace

import pytest
from mitmproxy.connection import Client
from mitmproxy.proxy.server import ConnectionIO

from shaper.proxy.lane import cork


@pytest.fixture
async def connected():
    """A client's connection as its handler has it, and its other end."""
    ends = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(lambda *streams: ends.set_result(streams), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    client = Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2), timestamp_start=0.0)
    far, far_writer = await ends
    yield client, SimpleNamespace(transports={client: ConnectionIO(reader=reader, writer=writer)}), far, far_writer
    writer.close()
    far_writer.close()
    server.close()


def arrived(writer) -> int:
    """How many bytes the kernel has for the reader."""
    count = array("i", [0])
    fcntl.ioctl(writer.get_extra_info("socket").fileno(), termios.FIONREAD, count)
    return count[0]


async def test_what_is_sent_in_one_turn_of_the_loop_arrives_as_one(connected):
    client, handler, far, far_writer = connected
    writer = handler.transports[client].writer
    cork(client, handler)
    for part in (b"headers", b"first", b"second"):
        writer.write(part)
    assert writer.transport.get_write_buffer_size() == 0  # the kernel has it,
    assert arrived(far_writer) == 0  # and keeps it
    assert await asyncio.wait_for(far.read(100), 5) == b"headersfirstsecond"
    writer.write(b"later")
    assert await asyncio.wait_for(far.read(100), 5) == b"later"


async def test_a_connection_that_is_gone_is_left_alone(connected):
    client, handler, far, _ = connected
    cork(client, handler)
    handler.transports[client].writer.transport.abort()
    assert await asyncio.wait_for(far.read(100), 5) == b""
    cork(client, handler)
    cork(client, SimpleNamespace(transports={}))
    await asyncio.sleep(0)

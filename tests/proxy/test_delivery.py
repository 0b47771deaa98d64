"""A delivery over real sockets: it arrived, or it never will."""

import asyncio
import socket

import pytest

from shaper.proxy.delivery import Delivery

SIZE = 200_000


async def connected():
    """Return a client's plain socket, and the writer that serves it."""
    accepted = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(lambda _, writer: accepted.set_result(writer), "127.0.0.1", 0)
    client = socket.create_connection(server.sockets[0].getsockname())
    client.setblocking(False)
    writer = await accepted
    server.close()
    return client, writer


async def read(client, size):
    left = size
    while left and (data := await asyncio.get_running_loop().sock_recv(client, min(left, 65536))):
        left -= len(data)
    assert left == 0


async def outcome(delivery):
    async with asyncio.timeout(10):
        while (arrived := delivery.arrived()) is None:  # noqa: ASYNC110, what is awaited has no event
            await asyncio.sleep(0.01)
    return arrived


async def test_it_arrives_when_the_client_has_all_and_not_before():
    client, writer = await connected()
    writer.write(bytes(8 * 2**20))  # more than two kernels hold
    delivery = Delivery(writer)
    await asyncio.sleep(0.1)
    assert delivery.arrived() is None
    await read(client, 8 * 2**20)
    assert await outcome(delivery) is True
    writer.close()


async def test_what_is_written_later_does_not_count():
    client, writer = await connected()
    writer.write(bytes(SIZE))
    delivery = Delivery(writer)
    writer.write(bytes(8 * 2**20))
    await read(client, SIZE)
    assert await outcome(delivery) is True
    writer.transport.abort()


async def test_a_client_that_leaves_with_the_last_byte_has_it_all():
    client, writer = await connected()
    writer.write(bytes(SIZE))
    delivery = Delivery(writer)
    await read(client, SIZE)
    client.close()
    writer.close()
    await asyncio.sleep(0.05)
    assert writer.get_extra_info("socket").fileno() < 0  # the proxy's own socket tells nothing any more
    assert await outcome(delivery) is True


async def test_a_client_that_leaves_before_has_not():
    client, writer = await connected()
    writer.write(bytes(8 * 2**20))
    delivery = Delivery(writer)
    client.close()
    assert await outcome(delivery) is False


async def test_a_connection_that_is_cut_here_does_not_wait_for_ever():
    client, writer = await connected()
    writer.write(bytes(8 * 2**20))
    delivery = Delivery(writer)
    writer.transport.abort()
    await asyncio.sleep(0)
    client.close()
    assert await outcome(delivery) is False


async def test_a_socket_that_is_no_more_has_no_delivery():
    client, writer = await connected()
    writer.transport.abort()
    await asyncio.sleep(0.01)
    client.close()
    with pytest.raises(OSError, match="descriptor"):
        Delivery(writer)

"""Gates on real sockets: what is not read is not taken from memory, and nothing is lost by holding."""

import asyncio
import socket
import struct
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from mitmproxy.connection import Server
from mitmproxy.proxy.server import ConnectionIO

from shaper.pacing.watermark import marks
from shaper.policy.judge import Judge
from shaper.policy.verdict import Facts, Person
from shaper.proxy import gate
from shaper.proxy.gate import READ, GatedReader
from tests.proxy.conftest import policy

DATA = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture
async def connected():
    """A gated connection, and the writer at its other end."""
    ends = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(lambda *streams: ends.set_result(streams), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    connection, io = Server(address=("127.0.0.1", 1)), ConnectionIO(reader=reader, writer=writer)
    gate.put_before(connection, SimpleNamespace(transports={connection: io}))
    _, far = await ends
    yield io.reader, far
    writer.close()
    far.transport.abort()
    server.close()


async def read_all(reader) -> bytes:
    parts = []
    while part := await asyncio.wait_for(reader.read(65_536), 5):
        parts.append(part)
    return b"".join(parts)


async def test_a_held_gate_reads_nothing_and_an_open_one_all_of_it(connected):
    reader, far = connected
    assert isinstance(reader, GatedReader)
    reader.hold()
    far.write(DATA)
    waiting = asyncio.create_task(reader.read(65_536))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    assert len(reader._reader._buffer) <= 2 * READ[2]
    reader.let_go()
    far.write_eof()
    assert await waiting + await read_all(reader) == DATA


async def test_a_reset_is_told_from_a_close(connected):
    reader, far = connected
    far.write(DATA[:1000])
    assert await reader.read(65_536) == DATA[:1000]
    far.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    far.transport.abort()
    with pytest.raises(ConnectionResetError):
        await reader.read(65_536)
    assert reader.is_severed


async def test_a_close_is_no_reset(connected):
    reader, far = connected
    far.write_eof()
    assert (await reader.read(65_536), reader.is_severed) == (b"", False)


async def test_holding_and_letting_go_at_any_time_loses_nothing(connected):
    reader, far = connected
    far.write(DATA)
    far.write_eof()
    got = b""
    for turn in range(10_000):
        reader.hold()
        reader.hold()
        task = asyncio.create_task(reader.read(7001 if turn % 2 else 65_536))
        await asyncio.sleep(0)
        reader.let_go()
        part = await asyncio.wait_for(task, 5)
        if not part:
            break
        got += part
    assert got == DATA


async def test_a_held_gate_does_not_hide_the_end_for_good(connected):
    reader, far = connected
    reader.hold()
    far.close()
    waiting = asyncio.create_task(reader.read(100))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    reader.let_go()
    assert await asyncio.wait_for(waiting, 5) == b""


async def test_a_waiting_read_can_be_cancelled(connected):
    reader, far = connected
    reader.hold()
    waiting = asyncio.create_task(reader.read(100))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    reader.let_go()
    far.write(b"later")
    assert await asyncio.wait_for(reader.read(100), 5) == b"later"


@pytest.mark.parametrize(("size", "read"), [(0, READ[1]), (196_609, READ[1]), (4 * 2**20, READ[2])])
async def test_a_wider_gate_reads_more_at_once(connected, size, read):
    reader, _ = connected
    reader.widen(size)
    assert reader._transport.max_size == read


async def room_after_reading_much(reader, far) -> tuple[int, int]:
    """How large the kernel's buffer was, and is when 32 MiB have been read as fast as they come."""
    sock = reader._transport.get_extra_info("socket")
    before = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    writing = asyncio.create_task(write_all(far, DATA * 32))
    size = 0
    while size < len(DATA) * 32:
        size += len(await asyncio.wait_for(reader.read(2**20), 5))
    await writing
    return before, sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


async def write_all(far, data) -> None:
    far.write(data)
    await far.drain()


async def test_the_kernel_makes_no_room_for_what_is_slowed(connected):
    reader, far = connected
    reader.widen(0)
    before, after = await room_after_reading_much(reader, far)
    assert before == after


async def test_a_faster_rate_gets_half_a_second_of_it(connected):
    reader, far = connected
    reader.widen(gate.UNPINNED - 1)
    before, after = await room_after_reading_much(reader, far)
    assert before == after >= 262_143


@pytest.mark.parametrize("release", [lambda reader: reader.widen(gate.WIDE), GatedReader.trust])
async def test_the_kernel_makes_room_again_for_what_is_not_slowed(connected, release):
    reader, far = connected
    reader.widen(0)
    release(reader)
    reader.widen(gate.WIDE)
    before, after = await room_after_reading_much(reader, far)
    assert after > before


async def test_a_kernel_that_cannot_undo_it_is_not_told(connected, monkeypatch):
    monkeypatch.setattr(gate, "SO_BUF_LOCK", 9999)
    reader, far = connected
    reader.widen(0)
    before, after = await room_after_reading_much(reader, far)
    assert after > before


async def test_what_is_no_tcp_connection_is_left_as_it_is():
    connection, io = Server(address=("127.0.0.1", 1)), ConnectionIO(reader=object(), writer=object())
    gate.put_before(connection, SimpleNamespace(transports={connection: io}))
    gate.put_before(connection, SimpleNamespace(transports={}))
    assert not isinstance(io.reader, GatedReader)


@pytest.mark.parametrize(
    ("rule", "high", "wide"),
    [
        ({}, marks(1000.0).high, 0),  # at 8 kbit/s
        ({"caps": [{"rate": "2 Mbit/s"}]}, 125_000, 125_000 - gate.WINDOW),
        ({"caps": None}, 262_144, gate.WIDE),
        ({"caps": None, "freeze_after": "16 KiB"}, marks(32_768.0).high, 16_384),
        ({"caps": None, "freeze_after": "1 GiB"}, 262_144, gate.WIDE),
    ],
)
def test_a_sender_may_have_no_more_under_way_than_will_soon_pass(rule, high, wide):
    facts = Facts("www.media.test", content_type=("image/png",))
    verdict = Judge(policy(**rule)).decide(facts, Person(), datetime.now(UTC))
    mark, room = gate.leash(verdict)
    assert (mark.high, room) == (high, wide)

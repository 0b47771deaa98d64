"""Too many connections, and connections on which nothing goes on: they are closed, and nobody else's are."""

import asyncio
import dataclasses
import resource
from time import monotonic

import pytest
from mitmproxy.proxy.events import DataReceived

from shaper.measure.run import Outcome
from shaper.proxy.crowd import IDLE, SILENT, Room
from tests.e2e.conftest import until
from tests.robust.conftest import closed
from tests.robust.test_floods import GET, Attacker

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("bystander")]


@pytest.fixture
def room(lab):
    """Change how much room there is, for a test."""
    before = lab.proxy.admitting.crowd.room

    def change(**numbers):
        lab.proxy.admitting.crowd.room = dataclasses.replace(before, **numbers)

    yield change
    lab.proxy.admitting.crowd.room = before


@pytest.fixture
def looking(lab, monkeypatch):
    """Have the proxy look at its connections often, from now on."""
    monkeypatch.setattr("shaper.proxy.crowd.LOOK_EVERY", 0.05)
    crowd = lab.proxy.admitting.crowd
    crowd._alarm.cancel()
    crowd._look(monotonic())


@pytest.mark.parametrize(("bound", "number"), [("connections", "clients"), ("client", "client")])
async def test_connections_beyond_the_bound_are_closed_at_once_and_the_others_live(lab, room, bound, number):
    before = lab.bounded(bound)
    room(**{number: 10})
    ends = [await lab.dial() for _ in range(30)]
    assert await until(lambda: lab.bounded(bound) == before + 21)  # the bystander has one
    closed_ones = [reader.at_eof() for reader, _ in ends]
    assert await until(lambda: sum(reader.at_eof() for reader, _ in ends) == 21), closed_ones
    assert len(lab.proxy.admitting.visitors) == 10


async def test_what_waits_for_its_turn_when_its_client_leaves_reaches_no_layer(lab, monkeypatch):
    """It would have the layers open connections to origins, which nobody would close."""
    await lab.dial()
    assert await until(lambda: len(lab.proxy.admitting.visitors) == 2)  # the bystander is the other
    visitor = [*lab.proxy.admitting.visitors.values()][-1]
    client, handler, heard = visitor.client, visitor.handler, []
    monkeypatch.setattr(handler.layer, "handle_event", lambda event: iter(heard.append(event) or ()))
    async with handler._server_event_lock:
        waiting = asyncio.create_task(handler.server_event(DataReceived(client, b"GET / HTTP/1.1\r\n\r\n")))
        await asyncio.sleep(0)
        lab.proxy.admitting.crowd.client_disconnected(client)
    await waiting
    assert heard == []
    visitor.hang_up("the test is over")


async def test_room_is_there_again_once_others_have_left(lab, room):
    room(client=2)
    for _ in range(5):
        got = await lab.fetch("/bytes?size=5&type=text/css", host="both.media.test")
        assert got.size == 5
        assert await until(lambda: len(lab.proxy.admitting.visitors) == 1)


async def test_a_client_can_reach_only_so_many_origins_at_once(lab, room):
    before = lab.bounded("origins")
    room(origins_each=3)
    lab.rough.answers(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", close=False)
    statuses = []
    reader, writer = await lab.dial()
    for host in ("rough.media.test", "rough.other.test", "both.media.test", "both.other.test"):
        writer.write(f"GET http://{host}/bytes?size=0 HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        statuses.append(int(head.split()[1]))
    assert statuses == [200, 200, 200, 502]
    assert lab.bounded("origins") == before + 1


@pytest.mark.parametrize("said", [b"", b"GET http://both.media.test/ HT", b"\x16\x03\x01"])
async def test_who_asks_nothing_is_closed_however_busily_it_says_so(lab, looking, said):
    """Slow loris."""
    before = lab.bounded("silent")
    reader, writer = await lab.dial()
    writer.write(said)

    async def trickle():
        while True:
            writer.write(b"x" if said else b"")
            await asyncio.sleep(0.02)

    await lab.age(SILENT - 0.5)
    task = asyncio.create_task(trickle())
    await closed(reader)
    task.cancel()
    assert lab.bounded("silent") == before + 1


async def test_who_opens_a_tunnel_and_says_nothing_in_it_is_closed(lab, looking):
    before = lab.bounded("silent")
    reader, writer = await lab.tunnel("both.media.test")
    writer.write(b"\x16")
    await lab.age(SILENT - 0.5)
    assert await closed(reader) == b""
    assert lab.bounded("silent") == before + 1


@pytest.mark.parametrize("protocol", ["h1", "h2"])
async def test_an_idle_connection_is_closed_and_a_slow_transfer_is_not(lab, looking, protocol):
    before = lab.bounded("idle")
    async with await lab.connect(protocol) as session:
        slow = asyncio.create_task(session.request("/bytes?size=60000&type=image/png"))
        assert await until(lambda: max(lab.slowed, default=0) > 2048)
        await lab.age(IDLE)
        got = await slow
        assert (got.outcome, got.size) == (Outcome.COMPLETE, 60_000)
        assert lab.bounded("idle") == before
        await lab.age(IDLE)
        assert await until(lambda: lab.bounded("idle") == before + 1)
        got = await session.request("/bytes?size=9&type=text/css")
        assert got.outcome is Outcome.ERROR


async def test_a_quiet_tunnel_and_a_stalled_origin_are_left_alone(lab, looking):
    before = lab.bounded("idle") + lab.bounded("silent")
    lab.rough.answers(b"220 hello\r\n", close=False)
    reader, writer = await lab.tunnel("rough.other.test", 80)
    writer.write(b"EHLO\r\n\r\n")
    assert await reader.readexactly(11)
    stalled = asyncio.create_task(lab.fetch("/bytes?size=9&delay=1.5&type=text/css", host="both.media.test"))
    assert await until(lambda: any(each.has_asked for each in lab.others))
    await lab.age(IDLE, 2)
    assert (await stalled).size == 9
    assert not reader.at_eof()
    assert lab.bounded("idle") + lab.bounded("silent") == before


@pytest.mark.parametrize("host", ["both.media.test", "rough.other.test"])
async def test_who_never_reads_keeps_no_socket_once_its_connection_is_over(lab, monkeypatch, host):
    """It asks for much, reads nothing, and is thrown out."""
    monkeypatch.setattr("shaper.proxy.bounds.LINGER", 0.2)

    async def say_much(reader, writer):
        writer.write(bytes(20_000_000))
        await writer.drain()

    lab.rough.script = say_much
    reader, writer = await (lab.h2(host) if "both" in host else lab.tunnel(host, 80))
    reader._transport.pause_reading()
    if "both" in host:
        attacker = Attacker(reader, writer, INITIAL_WINDOW_SIZE=2**31 - 1)
        attacker.machine.increment_flow_control_window(2**30)
        attacker.machine.send_headers(1, [*GET[:3], (":path", "/bytes?size=50000000&type=text/css")], end_stream=True)
        attacker.flush()
    transport = lab.latest.handler.transports[lab.latest.client].writer.transport
    assert await until(lambda: transport.get_write_buffer_size() > 0)
    lab.hang_up()
    assert await until(lambda: transport._sock is None)


async def test_who_reads_slowly_gets_the_last_byte(lab, monkeypatch):
    monkeypatch.setattr("shaper.proxy.bounds.LINGER", 0.2)

    async def say_and_leave(reader, writer):
        writer.write(bytes(3_000_000))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    lab.rough.script = say_and_leave
    reader, _ = await lab.tunnel("rough.other.test", 80)
    got = 0
    while data := await reader.read(30_000):
        got += len(data)
        await asyncio.sleep(0.01)
    assert got == 3_000_000


async def test_room_comes_from_the_limit_on_file_descriptors(monkeypatch):
    changed = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: changed.append(limits))
    room = Room.of_this_process()
    assert changed == [(4096, 4096)]
    assert room.clients + room.origins <= 4096
    assert room.client < room.clients

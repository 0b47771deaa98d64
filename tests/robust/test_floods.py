"""HTTP/2 floods: work asked for and dropped, frames that carry nothing, heads and windows that never end."""

import asyncio
from contextlib import suppress

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, RequestReceived
from h2.settings import SettingCodes
from hyperframe.frame import ContinuationFrame, DataFrame, HeadersFrame, PingFrame, PriorityFrame, SettingsFrame

from shaper.measure.run import Outcome
from tests.e2e.conftest import until
from tests.robust.conftest import MUCH, pour

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("bystander")]

GET = [(":method", "GET"), (":scheme", "https"), (":authority", "both.media.test"), (":path", "/bytes?size=9")]


class Attacker:
    """An HTTP/2 client that may send what it likes."""

    def __init__(self, reader, writer, **settings) -> None:
        self.reader, self.writer = reader, writer
        self.machine = H2Connection(H2Configuration(header_encoding="utf-8", validate_outbound_headers=False))
        self.machine.local_settings.update({SettingCodes[name]: value for name, value in settings.items()})
        self.machine.local_settings.acknowledge()
        self.machine.initiate_connection()
        self.flush()

    def flush(self) -> None:
        self.writer.write(self.machine.data_to_send())

    async def hear(self, kind, seconds: float = 5.0):
        """Return the first event of this kind; None when the peer closes first."""
        with suppress(ConnectionError):
            async with asyncio.timeout(seconds):
                while data := await self.reader.read(65_536):
                    for event in self.machine.receive_data(data):
                        if isinstance(event, kind):
                            return event
                    self.flush()
        return None


async def attack(lab, **settings) -> Attacker:
    return Attacker(*await lab.h2(), **settings)


async def is_thrown_out(lab, attacker, before) -> bool:
    goodbye = await attacker.hear(ConnectionTerminated)
    assert lab.bounded("frames") == before + 1
    return goodbye is None or goodbye.error_code == ErrorCodes.ENHANCE_YOUR_CALM


async def test_streams_opened_and_reset_at_once_end_their_connection(lab):
    """CVE-2023-44487."""
    before, asked = lab.bounded("frames"), len(lab.origin.seen)
    attacker = await attack(lab)
    for _ in range(1000):
        stream = attacker.machine.get_next_available_stream_id()
        attacker.machine.send_headers(stream, GET, end_stream=True)
        attacker.machine.reset_stream(stream, ErrorCodes.CANCEL)
    attacker.flush()
    assert await is_thrown_out(lab, attacker, before)
    assert len(lab.origin.seen) - asked < 500


async def test_a_page_that_is_left_may_reset_all_its_streams(lab):
    before = lab.bounded("frames")
    attacker = await attack(lab)
    for _ in range(2):  # at most 100 are open at a time
        streams = []
        for _ in range(90):
            streams.append(attacker.machine.get_next_available_stream_id())
            attacker.machine.send_headers(streams[-1], GET, end_stream=True)
        for stream in streams:
            attacker.machine.reset_stream(stream, ErrorCodes.CANCEL)
        attacker.flush()
    attacker.machine.ping(b"anybody?")
    attacker.flush()
    assert await attacker.hear(object)
    assert lab.bounded("frames") == before


@pytest.mark.parametrize(
    "frame",
    [
        PingFrame(0, b"12345678"),
        SettingsFrame(0, {4: 65_535}),
        PriorityFrame(1, depends_on=0, stream_weight=3),
        DataFrame(1, b""),
    ],
    ids=lambda frame: type(frame).__name__,
)
async def test_frames_that_carry_nothing_end_their_connection(lab, frame):
    """CVE-2019-9512, 9513, 9515, 9518."""
    before = lab.bounded("frames")
    attacker = await attack(lab)
    post = [(":method", "POST"), *GET[1:3], (":path", "/upload")]
    attacker.machine.send_headers(1, post)
    attacker.flush()
    attacker.writer.write(frame.serialize() * 2000)
    assert await is_thrown_out(lab, attacker, before)


async def test_an_origin_that_sends_frames_for_nothing_loses_its_connection(lab):
    before = lab.bounded("frames")

    async def flood(reader, writer):
        machine = H2Connection(H2Configuration(client_side=False))
        machine.initiate_connection()
        writer.write(machine.data_to_send())
        while not any(isinstance(event, RequestReceived) for event in machine.receive_data(await reader.read(65_536))):
            pass
        while True:
            writer.write(PingFrame(0, b"12345678").serialize() * 100)
            await writer.drain()
            await asyncio.sleep(0.001)

    lab.rough.script = flood
    got = await lab.fetch("/", "h2", scheme="https", timeout=10)
    assert (got.outcome, got.status) == (Outcome.COMPLETE, 502)
    assert lab.bounded("frames") == before + 1


async def test_header_lists_without_end_end_their_connection(lab):
    """CVE-2024-27316 and its kind: CONTINUATION frames, none of them the last."""
    attacker = await attack(lab)
    attacker.writer.write(HeadersFrame(1, attacker.machine.encoder.encode(GET)).serialize())
    more = ContinuationFrame(1, attacker.machine.encoder.encode([("x", "y" * 100)])).serialize()
    assert await pour(attacker.writer, more * 100) < MUCH
    await attacker.hear(ConnectionTerminated)


async def test_a_small_header_block_that_unpacks_to_a_huge_list_ends_its_connection(lab):
    """CVE-2016-6581, the HPACK bomb: one large field in the table, then a byte for each copy of it."""
    attacker = await attack(lab)
    first = attacker.machine.encoder.encode([*GET, ("x", "y" * 3000)])
    again = attacker.machine.encoder.encode([("x", "y" * 3000)])
    assert len(again) <= 2
    attacker.writer.write(HeadersFrame(1, first + again * 10_000, flags=["END_HEADERS", "END_STREAM"]).serialize())
    assert await attacker.hear(ConnectionTerminated)


async def test_more_streams_at_once_than_allowed_end_their_connection(lab):
    attacker = await attack(lab)
    await attacker.hear(object)
    for stream in range(1, 400, 2):
        block = attacker.machine.encoder.encode([*GET[:3], (":path", "/bytes?size=9&delay=30")])
        attacker.writer.write(HeadersFrame(stream, block, flags=["END_HEADERS", "END_STREAM"]).serialize())
    assert await attacker.hear(ConnectionTerminated)


@pytest.mark.parametrize("kind", ["video/mp4", "text/css"])
async def test_windows_that_stay_shut_hold_the_origin_and_cost_little(lab, kind):
    attacker = await attack(lab, INITIAL_WINDOW_SIZE=0)
    for _ in range(90):
        stream = attacker.machine.get_next_available_stream_id()
        path = f"/bytes?size=50000000&type={kind}&shut=yes"
        attacker.machine.send_headers(stream, [*GET[:3], (":path", path)], end_stream=True)
    attacker.flush()
    levels = lab.proxy.shaping.levels
    assert await until(lambda: levels.gated == 90, 15)
    assert levels.backlog < 90 * 512 * 1024


async def test_windows_that_stay_shut_cannot_fill_the_memory(lab, monkeypatch):
    """What is not slowed has a wide window towards its origin, while there is room for all of them."""
    monkeypatch.setattr("shaper.proxy.channel.ROOM", 2**23)
    attacker, levels = await attack(lab, INITIAL_WINDOW_SIZE=0), lab.proxy.shaping.levels
    for _ in range(40):
        stream = attacker.machine.get_next_available_stream_id()
        path = "/bytes?size=50000000&type=text/css"
        attacker.machine.send_headers(stream, [*GET[:3], (":path", path)], end_stream=True)
    attacker.flush()
    assert await until(lambda: levels.gated == 40, 15)
    await asyncio.sleep(0.5)
    assert 2**22 < levels.room < 2**23 + 40 * 2**18 + 2**22  # and the bystander's
    assert levels.backlog < 2**23 + 40 * 2**20
    attacker.writer.transport.abort()
    assert await until(lambda: levels.room <= 2**22)

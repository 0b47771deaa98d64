"""A read's instant is when the kernel had the bytes, over real TCP, with and without TLS."""

import asyncio
import socket
import sys
import time

import pytest

from shaper.lab.origin import Origin
from shaper.measure import stamped
from shaper.measure.probe import connect
from shaper.measure.run import Outcome

BUSY = 0.4

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux notes when a packet arrived")


def be_busy(seconds=BUSY):
    """Keep the event loop from its work."""
    time.sleep(seconds)


@pytest.fixture
async def pair():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = await stamped.connect(*listener.getsockname())
        theirs, _ = listener.accept()
        with ours, theirs:
            yield ours, theirs


@linux
@pytest.mark.parametrize("into", [False, True])
async def test_who_reads_late_is_told_when_the_bytes_came(pair, into):
    ours, theirs = pair
    before = time.monotonic()
    theirs.sendall(b"late")
    sent = time.monotonic()
    be_busy()
    buffer = bytearray(10)
    data = bytes(buffer[: ours.recv_into(buffer)]) if into else ours.recv(10)
    assert data == b"late"
    assert before - 0.01 <= ours.read_at <= sent + BUSY / 2


@linux
async def test_without_notes_it_is_when_they_were_read(pair):
    ours, theirs = pair
    ours.setsockopt(socket.SOL_SOCKET, stamped._NOTED, 0)
    theirs.sendall(b"late")
    be_busy(0.05)
    begun = time.monotonic()
    assert ours.recv(10) == b"late"
    assert begun <= ours.read_at <= time.monotonic()


async def test_no_more_than_asked_for_is_read_into_a_buffer(pair):
    ours, theirs = pair
    theirs.sendall(b"abcdef")
    buffer = bytearray(6)
    assert ours.recv_into(buffer, 2) == 2
    assert bytes(buffer) == b"ab" + bytes(4)
    assert ours.recv_into(buffer) == 4


async def test_an_instant_never_goes_back_when_the_clock_is_set(pair, monkeypatch):
    ours, theirs = pair
    theirs.sendall(b"1")
    ours.recv(1)
    first = ours.read_at
    monkeypatch.setattr(stamped, "time", lambda: time.time() + 3600)
    theirs.sendall(b"2")
    ours.recv(1)
    assert ours.read_at == first if sys.platform == "linux" else ours.read_at >= first


async def test_a_port_that_nobody_listens_on_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    with pytest.raises(ConnectionRefusedError):
        await stamped.connect(*address)


@linux
@pytest.mark.parametrize("protocol", ["h1", "h2"])
async def test_a_busy_client_does_not_count_as_a_slow_origin(protocol):
    with Origin(["localhost"]) as origin:
        session = await connect(f"https://localhost:{origin.port}", protocol=protocol, ca=origin.ca_pem)
        async with session:
            await session.request("/bytes?size=10")
            asking = asyncio.ensure_future(session.request("/bytes?size=1000"))
            await asyncio.sleep(0)
            be_busy(1.0)
            got = await asking
    assert got.outcome is Outcome.COMPLETE
    assert got.duration < 1.0

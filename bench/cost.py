"""What does a slowed transfer cost? Processor time, memory, and how far ahead of the client the origin is read."""

import asyncio
import gc
import re
import subprocess
from contextlib import contextmanager
from time import monotonic
from urllib.parse import urlsplit

from bench.collateral import slowed
from shaper.lab.origin import Origin as LabOrigin
from shaper.measure.fetched import Appetite

ACKED = re.compile(r"bytes_acked:(\d+)")
RECEIVED = re.compile(r"bytes_received:(\d+)")


async def sessions_for(subject, protocol, count, **more):
    return [await subject.connect(protocol, **more) for _ in range(count if protocol == "h1" else -(-count // 90))]


async def close_all(sessions):
    for session in sessions:
        await session.close()


async def running(subject, protocol, count, *, seconds=8.0, settle=3.0):
    """Return the share of a core, CPU seconds a GB and bytes of memory a transfer, with `count` going on at once."""
    gc.collect()
    before = subject.program.memory()
    sessions = await sessions_for(subject, protocol, count)
    async with slowed(subject, sessions, count, settle):
        got = [0]
        for session in sessions:
            _count_reads(session, got)
        cpu, begun = subject.program.cpu(), monotonic()
        await asyncio.sleep(seconds)
        spent, elapsed, size = subject.program.cpu() - cpu, monotonic() - begun, got[0]
        memory = subject.program.memory() - before
    await close_all(sessions)
    return spent / elapsed, spent / size * 1e9 if size else None, memory / count


def _count_reads(session, got):
    receive = session.receive

    def counting(data, since, now):
        got[0] += len(data)
        receive(data, since, now)

    session.receive = counting


@contextmanager
def lab_origin(**how):
    """Serve the same names from the lab's origin."""
    with LabOrigin(["localhost", "127.0.0.1"], **how) as origin:
        origin.ca, origin.tunnel_port = origin.ca_pem, origin.plain_port
        yield origin


def on_lab_origin(subject):
    """Have a subject ask the lab origin instead, which slows what shaper does not."""
    rate = "" if subject.name == "shaper" else "&rate=150%20kbit/s"
    subject.picture = f"/bytes?size=50000000&type=image/jpeg{rate}"
    subject.page = "/bytes?size=2000&type=text/html"
    return subject


def acknowledged(port):
    """Return, by peer, how many bytes this port's connections saw acknowledged: taken, if only into a kernel."""
    shown = _sockets(f"sport = :{port}")
    return {line.split()[4]: int(found[1]) for line in shown if (found := ACKED.search(line))}


def read_from(port):
    """Return, by client, how many bytes the clients of this port took out of their kernels."""
    shown = _sockets(f"dport = :{port}")
    return {line.split()[3]: int(found[1]) - int(line.split()[1]) for line in shown if (found := RECEIVED.search(line))}


def _sockets(which):
    return subprocess.run(["ss", "-tinHO", which], capture_output=True, text=True, check=True).stdout.splitlines()


async def read_ahead(subject, protocol, count, *, stalled=False, seconds=20.0):
    """Return by how many bytes a transfer is ahead of its client after so many seconds, and its memory.

    Read-ahead is what the origin's kernel saw acknowledged and the client did not read, TLS and framing included. Of a
    client that stalls, its TLS library reads on for a while: there, what left the client's kernel counts as read.
    """
    port = subject.proxy[1] if subject.proxy else urlsplit(subject.url()).port
    before, before_read = acknowledged(subject.origin.port), read_from(port)
    memory = subject.program.memory()
    more = {"receive_buffer": 8192, "window": 65_536} if stalled else {}
    sessions = await sessions_for(subject, protocol, count, **more)
    appetite = Appetite(stall_after=1) if stalled else Appetite()
    got = [0]
    for session in sessions:
        _count_reads(session, got)
    tasks = [
        asyncio.create_task(
            sessions[i % len(sessions)].request(
                "/50m.jpg" if stalled else subject.picture_of(i), timeout=600, appetite=appetite
            )
        )
        for i in range(count)
    ]
    await asyncio.sleep(seconds)
    after, read = acknowledged(subject.origin.port), read_from(port)
    ahead = sum(size - before.get(peer, 0) for peer, size in after.items())
    ahead -= sum(size - before_read.get(client, 0) for client, size in read.items()) if stalled else got[0]
    memory = subject.program.memory() - memory
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await close_all(sessions)
    return ahead / count, memory / count

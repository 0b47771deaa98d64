"""What does a slowed transfer cost? Processor time, memory, and how far ahead of the client the origin is read."""

import asyncio
import gc
import os
import re
import subprocess
from contextlib import contextmanager
from functools import partial
from statistics import median
from time import monotonic
from urllib.parse import urlsplit

from bench.collateral import sessions_of, slowed
from shaper.lab.origin import Origin as LabOrigin
from shaper.measure.fetched import Appetite

PID = re.compile(r"pid=(\d+)")
RECEIVED = re.compile(r"bytes_received:(\d+)")


async def sessions_for(subject, protocol, count, **more):
    return await sessions_of(subject, protocol, count if protocol == "h1" else -(-count // 90), **more)


async def close_all(sessions):
    for session in sessions:
        await session.close()


async def running(subject, protocol, count, *, seconds=4.0, settle=3.0):
    """Return the share of a core, CPU seconds a GB and bytes of memory a transfer, with `count` going on at once.

    Medians of three times so many seconds, for what else runs on the host comes and goes. The subject has a processor
    to itself: a client that takes turns with it there would empty its caches.
    """
    gc.collect()
    before = subject.program.memory()
    sessions = await sessions_for(subject, protocol, count)
    with subject.program.apart():
        async with slowed(subject, sessions, count, settle):
            read, shares, prices = Reads(sessions), [], []
            for _ in range(3):
                had, cpu, begun = read.size, subject.program.cpu(), monotonic()
                await asyncio.sleep(seconds)
                spent, elapsed, size = subject.program.cpu() - cpu, monotonic() - begun, read.size - had
                shares.append(spent / elapsed)
                prices += [spent / size * 1e9] if size else []
            memory = subject.program.memory() - before
    await close_all(sessions)
    return median(shares), median(prices) if prices else None, memory / count


class Reads:
    """Counts the bytes that sessions read from now on."""

    def __init__(self, sessions):
        self.size = 0
        for session in sessions:
            session.receive = partial(self._take, session.receive)

    def _take(self, receive, data, since, now):
        self.size += len(data)
        receive(data, since, now)


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


def received(port, program=None):
    """Return, by address, the bytes sent to this port's clients in this process or the program, and how many still wait
    in their kernels."""
    command = [*(program.within if program else ()), "ss", "-tinpHO", f"dport = :{port}"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    pids = {*map(str, program.pids() if program else [os.getpid()])}
    return {
        line.split()[3]: (int(found[1]), int(line.split()[1]))
        for line in shown
        if pids.intersection(PID.findall(line)) and (found := RECEIVED.search(line))
    }


def _left(port):
    """Return the bytes that left the kernels of this port's clients here."""
    return sum(size - waiting for size, waiting in received(port).values())


async def read_ahead(subject, protocol, count, *, stalled=False, seconds=20.0):
    """Return by how many bytes a transfer is ahead of its client after so many seconds, and its memory.

    Read-ahead is what the origin sent to the subject's kernel and the client did not read, TLS and framing included.
    Of a client that stalls, its TLS library reads on for a while: there, what left the client's kernel since it is
    connected counts as read.
    """
    port = subject.proxy[1] if subject.proxy else urlsplit(subject.url()).port
    memory, before = subject.program.memory(), received(subject.origin.port, subject.program)
    more = {"receive_buffer": 8192, "window": 65_536} if stalled else {}
    sessions = await sessions_for(subject, protocol, count, **more)
    appetite, read, connected = Appetite(stall_after=1 if stalled else None), Reads(sessions), _left(port)
    tasks = [
        asyncio.create_task(
            sessions[i % len(sessions)].request(
                "/50m.jpg" if stalled else subject.picture_of(i), timeout=600, appetite=appetite
            )
        )
        for i in range(count)
    ]
    await asyncio.sleep(seconds)
    after = received(subject.origin.port, subject.program)
    ahead = sum(size - before.get(client, (0, 0))[0] for client, (size, _) in after.items())
    ahead -= _left(port) - connected if stalled else read.size
    memory = subject.program.memory() - memory
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await close_all(sessions)
    return ahead / count, memory / count

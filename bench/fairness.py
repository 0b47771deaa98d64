"""Do transfers under one cap share it evenly? Ten at once, half over h1 connections, half streams of one h2 connection.

Jain's index is 1 when all have the same and 1/n when one has everything. Source: Jain, Chiu and Hawe, DEC-TR-301, 1984.
"""

import asyncio
from time import monotonic

from bench.subject import BURST, host_of, shaper

CAPS = (1_500_000, 10_000_000)
TEN = ("h1", "h2") * 5
SETTLED = 1.0
"""Seconds after the first byte of the last of ten from which shares are compared."""


def subject(home, origin):
    """Start `shaper run` with one bucket a client for each of CAPS."""
    policy = ["version: 1", "study: bench-fairness", "targets:"]
    policy += [f"  r{cap}: {{hosts: [{host_of(cap)}]}}" for cap in CAPS]
    policy += ["rules:"]
    policy += [
        f"  - {{name: r{cap}, target: r{cap}, media: [image], "
        f"caps: [{{scope: client, rate: {cap / 1000:g} kbit/s, burst: {BURST} B}}]}}"
        for cap in CAPS
    ]
    routes = [f"--connect-to={host_of(cap)}:443:127.0.0.1:{origin.port}" for cap in CAPS]
    return shaper(home, origin, policy="\n".join(policy), more=routes)


async def together(subject, cap, *, seconds=10.0, late=0.0, protocols=TEN):
    """Return each transfer's line, in seconds since all were settled; the last one began `late` seconds later."""
    shared = await subject.connect("h2", cap) if "h2" in protocols else None
    sessions = [await subject.connect("h1", cap) if each == "h1" else shared for each in protocols]
    lines, tasks, joined = [[] for _ in sessions], [], 0.0
    try:
        for session, line in zip(sessions, lines, strict=True):
            if line is lines[-1]:
                await asyncio.sleep(late)
                joined = monotonic()
            watch = _noting(line)
            tasks.append(asyncio.create_task(session.request(subject.path(cap, "50m"), timeout=600, watch=watch)))
        while not all(lines):  # noqa: ASYNC110 - what is awaited has no event to await
            await asyncio.sleep(0.01)
        begin = joined if late else monotonic() + SETTLED
        await asyncio.sleep(begin + seconds - monotonic())
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for session in set(sessions):
            await session.close()
    return [[(at - begin, size) for at, size in line] for line in lines]


def _noting(line):
    return lambda size, at: line.append((at, size))


def taken(line, begin, end):
    """Return the bytes between two instants."""
    return sum(size for at, size in line if begin <= at < end)


def jain(shares):
    """Return Jain's index of fairness."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 0.0


def shares(lines, cap, seconds):
    """Return Jain's index over all, the least in one second, and the sum of all over the cap."""
    totals = [taken(line, 0.0, seconds) for line in lines]
    each = [jain([taken(line, second, second + 1) for line in lines]) for second in range(int(seconds))]
    return jain(totals), min(each), sum(totals) * 8 / seconds / cap


def at_its_share(line, cap, among, enough=0.95):
    """Return how long after its request a transfer began to have its share, for the whole second from there on."""
    share = cap / 8 / among
    return next((at for at, _ in line if taken(line, at, at + 1.0) >= enough * share), None)

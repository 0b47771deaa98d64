"""What do slowed transfers do to the pages beside them? Latency of small HTML, requests a second, stalls."""

import asyncio
import itertools
from contextlib import asynccontextmanager
from statistics import median
from time import monotonic

from bench.accuracy import whole

STALLED = 3.0
"""Seconds after which a page that has not come counts as stalled."""

BEGUN = 60.0
"""Seconds within which slowed transfers have to begin."""


class RefusedError(Exception):
    """So many transfers at once are not to be had here."""


@asynccontextmanager
async def slowed(subject, sessions, count, settle=1.0):
    """Keep `count` slowed transfers of 50 MB going, spread over sessions, or raise RefusedError.

    All have begun, and `settle` seconds have passed since.
    """
    waiting = set(range(count))
    tasks = [
        asyncio.create_task(
            sessions[i % len(sessions)].request(
                subject.picture_of(i), timeout=600, watch=lambda *_, i=i: waiting.discard(i)
            )
        )
        for i in range(count)
    ]
    try:
        until = monotonic() + BEGUN
        while waiting and monotonic() < until and not any(task.done() for task in tasks):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        await asyncio.sleep(settle if count else 0)
        if waiting or any(task.done() for task in tasks):
            raise RefusedError(f"{subject.name}: {len(waiting)} of {count} did not begin")
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def sessions_of(subject, protocol, count, **more):
    """Open so many connections, some at a time."""
    sessions = []
    for some in itertools.batched(range(count), 20, strict=False):
        sessions += await asyncio.gather(*(subject.connect(protocol, **more) for _ in some))
    return sessions


async def page_times(session, page, seconds, pause=0.005):
    """Ask for the page again and again; return how long each took (a stalled one: STALLED)."""
    times, until = [], monotonic() + seconds
    while monotonic() < until:
        fetched = await session.request(page, timeout=STALLED)
        times.append(fetched.duration if whole(fetched) else STALLED)
        await asyncio.sleep(pause)
    return times


async def beside(subject, count, *, protocol="h2", same=True, seconds=5.0):
    """Return the page's times beside `count` slowed transfers on the same connection, or each on one of its own."""
    session = await subject.connect(protocol)
    others = [session] if same else await sessions_of(subject, protocol, count)
    try:
        await session.request(subject.page, timeout=STALLED)
        async with slowed(subject, others, count):
            return await page_times(session, subject.page, seconds)
    finally:
        for each in {session, *others}:
            await each.close()


async def beside_if_any(subject, count, **how):
    """Return the same, or say why there are no such times and return None."""
    try:
        return await beside(subject, count, **how)
    except RefusedError as refused:
        print(f"  {refused}", flush=True)
        return None


async def interleaved(subjects, count, *, rounds=3, **how):
    """Return each subject's times over several rounds in turn, so that all meet the same machine."""
    times = {subject.name: [] for subject in subjects}
    for _ in range(rounds):
        for subject in subjects:
            times[subject.name].append(await beside(subject, count, **how))
    return times


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def p50_p99(rounds):
    """Return milliseconds: medians over rounds of the median and of the 99th percentile."""
    return tuple(1000 * median(percentile(each, share) for each in rounds) for share in (0.5, 0.99))

"""Many transfers at once: does each get its rate, do pages beside them come soon?"""

import asyncio
from time import monotonic

from bench.collateral import page_times
from bench.cost import close_all, sessions_for


class Counter:
    """Counts the body bytes of one transfer since `restart`."""

    def __init__(self):
        self.size = 0

    def __call__(self, size):
        self.size += size


async def started(subject, sessions, count):
    """Start transfers, wait until each has got something, and return their counters and tasks."""
    counters = [Counter() for _ in range(count)]
    tasks = [
        asyncio.create_task(sessions[i % len(sessions)].request(subject.picture_of(i), timeout=600, watch=counter))
        for i, counter in enumerate(counters)
    ]
    begun = monotonic()
    while not all(counter.size for counter in counters) and monotonic() < begun + 60:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    return counters, tasks


async def many(subject, protocol, count, rate, *, seconds=10.0):
    """Return each transfer's achieved over configured rate, the page's times beside them, and the share of a core."""
    sessions = await sessions_for(subject, protocol, count)
    other = await subject.connect("h1")
    counters, tasks = await started(subject, sessions, count)
    await asyncio.sleep(3)
    begun, cpu, before = monotonic(), subject.program.cpu(), [counter.size for counter in counters]
    times = await page_times(other, subject.page, seconds)
    elapsed, used = monotonic() - begun, subject.program.cpu() - cpu
    ratios = [8 * (counter.size - had) / elapsed / rate for counter, had in zip(counters, before, strict=True)]
    await _leave(tasks, [*sessions, other])
    return ratios, times, used / elapsed


async def _leave(tasks, sessions):
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await close_all(sessions)

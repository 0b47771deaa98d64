"""Many transfers at once: does each get its rate, do pages beside them come soon?"""

import asyncio
from time import monotonic

from bench.collateral import page_times
from bench.cost import close_all, sessions_for


class Counter:
    """Counts the body bytes of one transfer, and notes the longest time without any, since `restart`."""

    def __init__(self):
        self.restart()

    def restart(self):
        self.size, self.gap, self._last = 0, 0.0, monotonic()

    def __call__(self, size, now):
        self.gap, self._last = max(self.gap, now - self._last), now
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
    """Return each transfer's achieved over configured rate, the page's times beside them, the share of a core that this
    took, and the longest time in which any transfer got nothing."""
    sessions = await sessions_for(subject, protocol, count)
    other = await subject.connect("h1")
    counters, tasks = await started(subject, sessions, count)
    await asyncio.sleep(3)
    for counter in counters:
        counter.restart()
    begun, cpu = monotonic(), subject.program.cpu()
    times = await page_times(other, subject.page, seconds)
    elapsed, used = monotonic() - begun, subject.program.cpu() - cpu
    ratios = [8 * counter.size / elapsed / rate for counter in counters]
    await _leave(tasks, [*sessions, other])
    return ratios, times, used / elapsed, max(counter.gap for counter in counters)


async def _leave(tasks, sessions):
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await close_all(sessions)

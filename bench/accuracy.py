"""Is the rate what was asked for? Achieved over configured, and what is given away after idling."""

import asyncio
from math import inf
from statistics import median

from bench.origin import SIZES
from bench.subject import BURST, RATES
from shaper.measure import line


def whole(fetched):
    return fetched.outcome == "complete" and fetched.status == 200


def ratio(fetched, rate, burst):
    """Return achieved over configured: the bytes that the burst does not give away, from the headers to the last byte.

    It is infinite if one read brought both. The end of an HTTP/2 stream may come after the last byte.
    """
    if not whole(fetched) or not fetched.reads:
        return None
    spent = fetched.reads[-1].t - fetched.answered
    return 8 * (fetched.size - burst) / spent / rate if spent > 0 else inf


def paced(fetched, rate):
    """Return achieved over configured from the first read to the last: what the first brought had its time before."""
    first, *_, last = fetched.reads if whole(fetched) and len(fetched.reads) > 1 else (None, None)
    return 8 * (fetched.size - first.num_bytes) / (last.t - first.t) / rate if first else None


async def once(subject, protocol, rate, size, burst, idle=0.0):
    """Return the ratio of one body on a fresh connection; with `idle`, of a second one after so many seconds."""
    async with await subject.connect(protocol, rate) as session:
        await session.request(subject.page)
        if idle:
            await session.request(subject.path(rate, "100k"), timeout=60)
            await asyncio.sleep(idle)
        fetched = await session.request(subject.path(rate, size), timeout=120)
    return ratio(fetched, rate, burst), fetched


async def table(subject, *, sizes=("100k", "1m"), protocols=("h1", "h2"), rates=RATES, repeats=5):
    """Yield (protocol, rate, size, median of `paced`). Bodies that take more than 5 s come all at once."""
    slow = [(p, r, s) for p in protocols for r in rates for s in sizes if SIZES[s] * 8 / r > 5]
    quick = [(p, r, s) for p in protocols for r in rates for s in sizes if SIZES[s] * 8 / r <= 5]
    found = await asyncio.gather(*(once(subject, *key, 0) for key in slow))
    results = {key: [fetched] for key, (_, fetched) in zip(slow, found, strict=True)}
    for key in quick:
        results[key] = [(await once(subject, *key, 0))[1] for _ in range(repeats)]
    for key in sorted(results):
        good = [value for fetched in results[key] if (value := paced(fetched, key[1])) is not None]
        yield *key, median(good) if good else None


async def after_idling(subject, protocol, rate, *, burst=BURST, idle=5.0):
    """Return the ratio of 100 kB after `idle` seconds, and by how many bytes it was ever over the rate."""
    value, fetched = await once(subject, protocol, rate, "100k", burst, idle)
    return value, line.excess(fetched.line, rate)


async def shape(subject, protocol, rate, *, beside=0, size="100k", url=None):
    """Return the lines of 1 + `beside` transfers at once."""
    sessions = [await subject.connect(protocol, rate, url=url) for _ in range(1 + beside if protocol == "h1" else 1)]
    seconds = 3 * SIZES[size] * 8 / rate + 10
    found = await asyncio.gather(
        *(sessions[i % len(sessions)].request(subject.path(rate, size), timeout=seconds) for i in range(1 + beside))
    )
    for session in sessions:
        await session.close()
    return [fetched.line for fetched in found if whole(fetched)]

"""What is measured of every peer. A section gets the peers, and how to add a figure: row, column, value."""

import asyncio

from bench import accuracy, collateral, cost, fairness, passing
from bench.peers.peers import IN_DEBIAN
from bench.subject import BURST, EVEN, SLOW
from shaper.measure import line

ALL = ("shaper", "mitmproxy", "HAProxy", "Envoy", "nginx", "Squid")


def speaks(name):
    return ("h1",) if name == "Squid" else ("h1", "h2")


async def rates(peers, add, quick):
    """Goodput over configured rate"""
    together = [(SLOW, "100k"), (1_000_000, "1m"), (10_000_000, "10m")]  # of 5 and 8 s
    apart = [(1_000_000, "100k"), (10_000_000, "100k"), (50_000_000, "100k"), (50_000_000, "10m")]
    for subject in peers.slowing:
        for protocol in speaks(subject.name):
            await asyncio.sleep(1)  # Envoy's responses share a bucket: let it be full
            with subject.program.apart():
                found = {body: await _ratio(subject, protocol, *body) for body in apart}
                slow = together[: 1 if quick else 3]
                values = await asyncio.gather(*(_ratio(subject, protocol, *body) for body in slow))
                found |= zip(slow, values, strict=True)
            for (rate, size), value in sorted(found.items()):
                add(f"{subject.name} {protocol}", f"{rate / 1e6:g}M {size}", value)


async def _ratio(subject, protocol, rate, size):
    value, _ = await accuracy.once(subject, protocol, rate, size, BURST if subject.name == "shaper" else 0)
    return value and value * rate / subject.configured(rate)


async def shapes(peers, add, _):
    """The shape of 100 kB at 150 kbit/s"""
    every = [(each.name, each, None) for each in peers.slowing]
    [ours] = peers.named("shaper")
    every.insert(1, ("shaper without a burst,", ours, f"https://{EVEN}"))
    for name, subject, url in every:
        for protocol in speaks(subject.name):
            row, rate = f"{name} {protocol}", subject.configured(SLOW)
            with subject.program.apart():
                lines = await accuracy.shape(subject, protocol, SLOW, url=url)
            for each in lines:
                add(row, "distance, kB", line.distance(each, rate) / 1000)
                add(row, "CV in 100 ms", line.variation(each))
                add(row, "longest gap, ms", 1000 * line.longest_gap(each))


async def pages_beside(peers, add, quick):
    """A page beside slowed transfers on other connections"""
    for count in (0, 1, 50, 200, 1000):
        for subject in peers.named(*ALL, "direct"):
            await _pages(add, subject, count, protocol="h1", same=False, seconds=1.0 if quick else 3.0)


async def pages_among(peers, add, quick):
    """A page beside slowed transfers on the same h2 connection"""
    for count in (1, 50, 90, 200):
        for subject in peers.named(*ALL, "direct"):
            if "h2" in speaks(subject.name):
                await _pages(add, subject, count, protocol="h2", same=True, seconds=1.0 if quick else 3.0)


async def _pages(add, subject, count, **how):
    times = await collateral.beside_if_any(subject, count, **how)
    for share in (0.5, 0.99):
        add(subject.name, f"p{100 * share:g} {count}", times and 1000 * collateral.percentile(times, share))


async def shares(peers, add, quick):
    """Ten transfers under one cap"""
    seconds = 3 if quick else 8
    for name in ("shaper", "HAProxy", "Envoy", "Squid"):
        with peers.fresh(name, sharing=True) as subject:
            protocols = fairness.TEN if "h2" in speaks(subject.name) else ("h1",) * 10
            for cap in fairness.CAPS:
                lines = await fairness.together(subject, cap, seconds=seconds, protocols=protocols)
                whole, worst, total = fairness.shares(lines, subject.configured(cap), seconds)
                add(name, f"Jain {cap / 1e6:g}M", whole)
                add(name, f"Jain, worst second {cap / 1e6:g}M", worst)
                add(name, f"all over the cap {cap / 1e6:g}M", total)


async def costs(peers, add, quick):
    """What 100 and 200 slowed transfers of 50 MB cost, each time of a fresh process"""
    for name in (*ALL, IN_DEBIAN):
        for protocol in speaks(name):
            with peers.fresh(name) as subject:
                core, a_gigabyte, memory = await cost.running(subject, protocol, 100, seconds=1.0 if quick else 4.0)
                of_200, _, _ = await cost.running(subject, protocol, 200, seconds=1.0 if quick else 4.0)
            row = f"{name} {protocol}"
            add(row, "share of a core, 100", core)
            add(row, "CPU s/GB, 100", a_gigabyte)
            add(row, "share of a core, 200", of_200)
            add(row, "memory, KiB", memory / 1024)


async def read_ahead(peers, add, quick):
    """How far ahead of its client the origin is read, of all peers at the same time"""
    for protocol in ("h1", "h2"):
        for stalled in (False, True):
            subjects = [each for each in peers.named(*ALL) if protocol in speaks(each.name)]
            found = await asyncio.gather(
                *(cost.read_ahead(each, protocol, 20, stalled=stalled, seconds=6 if quick else 20) for each in subjects)
            )
            for subject, (ahead, _) in zip(subjects, found, strict=True):
                slows = stalled or subject.name != "mitmproxy"
                column = "client stalled, kB" if stalled else "client reads, kB"
                add(f"{subject.name} {protocol}", column, ahead / 1000 if slows else None)


async def passes(peers, add, _):
    """Traffic that nobody slows"""
    for subject in peers.named(*ALL, "direct"):
        for protocol in speaks(subject.name):
            await _pass(add, subject, protocol, f"{subject.name} {protocol}", tunnelled=False)
    for subject in peers.named("shaper", "mitmproxy", "Squid"):
        await _pass(add, subject, "h1", f"{subject.name} tunnel", tunnelled=True)


async def _pass(add, subject, protocol, row, *, tunnelled):
    speed, a_gigabyte = passing.throughput(subject, protocol, tunnelled=tunnelled)
    often, a_request = await passing.requests(subject, protocol, tunnelled=tunnelled)
    add(row, "MB/s", speed)
    add(row, "CPU s/GB", a_gigabyte if subject.program else None)
    add(row, "requests/s", often)
    add(row, "CPU µs a request", a_request if subject.program else None)


SECTIONS = {
    each.__name__: each for each in (rates, shapes, pages_beside, pages_among, shares, costs, read_ahead, passes)
}

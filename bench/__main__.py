"""`make bench`: shaper against its goals, with mitmproxy without it as the floor. Ten minutes, or three.

    python -m bench [--quick] [--only SECTION]… [--json FILE]

The load client is this process, the origin and the proxies are processes of their own. What is compared is measured in
one run, in turns; goals are those of a quiet machine with two cores.
"""

import argparse
import asyncio
import contextlib
import gc
import resource
import tempfile
from functools import partial
from pathlib import Path
from statistics import median

from bench import accuracy, collateral, cost, deciding, passing, scale
from bench import fairness as fair
from bench.origin import Origin
from bench.scoreboard import Scoreboard
from bench.subject import BURST, EVEN, RATES, SLOW, addon, direct, host_of, mitmproxy, shaper
from shaper.measure import line
from shaper.pacing.limit import quantum

NAMES = ["localhost", "127.0.0.1", EVEN, *map(host_of, {*RATES, *fair.CAPS})]

LAZY = ("--set=connection_strategy=lazy",)
"""Without it mitmproxy asks the origin first and speaks to the client what that speaks."""


class Bench:
    """What one run works with."""

    def __init__(self, home: Path, *, quick: bool):
        self.home, self.quick = home, quick
        self.board = Scoreboard()
        (home / "origin").mkdir()
        self.origin = Origin(home / "origin", NAMES)
        self.shaper = shaper(home / "shaper", self.origin)
        self.mitmproxy = mitmproxy(home / "mitmproxy", self.origin)
        self.direct = direct(self.origin)
        self._made = 0

    def stop(self):
        for each in (self.shaper, self.mitmproxy, self.origin):
            each.program.stop()

    def fresh(self, make):
        """Return what starts another subject of a kind before another origin."""

        def start(origin):
            self._made += 1
            return make(self.home / f"fresh{self._made}", origin)

        return start


async def rate(bench):
    """Accuracy, and what is given away after idling"""
    board, repeats = bench.board, 3 if bench.quick else 9
    async for protocol, rate, size, value in accuracy.table(bench.shaper, repeats=repeats):
        goal = (0.99, 1.01) if size == "100k" else (0.998, 1.002)
        board.add("shaper", f"achieved/configured {rate / 1e6:g}M {size} {protocol}", value, "", *goal)
    idle, found = 1 if bench.quick else 5, {rate: [] for rate in RATES[1:]}
    for _ in range(3 if bench.quick else 20):
        at_once = (accuracy.after_idling(bench.shaper, "h1", rate, idle=idle) for rate in found)
        for each, value in zip(found.values(), await asyncio.gather(*at_once), strict=True):
            each.append(value)
    for rate, values in found.items():
        most = BURST + max(2 * quantum(rate / 8), 0.01 * rate / 8)
        worst = max(value for value, _ in values)
        board.add("shaper", f"after idling {rate / 1e6:g}M 100k, worst of {len(values)}", worst, "", None, 1.02)
        board.add("shaper", f"  most over the rate at once {rate / 1e6:g}M", max(e for _, e in values), "B", None, most)


async def shape(bench):
    """Distance from the ideal line at 150 kbit/s, and the longest gap"""
    for protocol, others in (("h1", 0), ("h2", 0), ("h1", 19), ("h2", 19)):
        lines = await accuracy.shape(bench.shaper, protocol, SLOW, beside=others)
        label, most = f"{1 + others} at once {protocol}", BURST + quantum(SLOW / 8)
        far = max((line.distance(each, SLOW) for each in lines), default=None)
        gap = max((1000 * line.longest_gap(each) for each in lines), default=None)
        varies = max((line.variation(each) for each in lines), default=None)
        bench.board.add("shaper", f"distance from the line, {label}", far, "B", None, most)
        bench.board.add("shaper", f"longest gap, {label}", gap, "ms", None, 30 if others else 60)
        bench.board.add("shaper", f"CV of the rate in 100 ms, {label}", varies, "", None, 0.10)
    for protocol in ("h1", "h2"):
        [even] = await accuracy.shape(bench.shaper, protocol, SLOW, url=f"https://{EVEN}") or [None]
        far = even and line.distance(even, SLOW)
        bench.board.add("shaper", f"distance from the line, without a burst, {protocol}", far, "B", None, 1500)


async def page(bench):
    """A page beside slowed streams on the same h2 connection"""
    rounds, seconds = (1, 2.0) if bench.quick else (3, 4.0)
    for count in (0, 1, 50, 90):
        subjects = [bench.direct, bench.mitmproxy, bench.shaper]
        times = await collateral.interleaved(subjects, count, rounds=rounds, seconds=seconds)
        floor = collateral.p50_p99(times["mitmproxy"])
        for subject in subjects:
            p50, p99 = collateral.p50_p99(times[subject.name])
            ours = subject is bench.shaper
            bench.board.add(subject.name, f"page p50 beside {count}", p50, "ms", None, floor[0] + 0.3 if ours else None)
            bench.board.add(subject.name, f"page p99 beside {count}", p99, "ms", None, 25 if ours else None)


async def h1_origin(bench):
    """A page beside 20 slowed images, h2 client and h1-only origin"""
    lazily = partial(mitmproxy, more=LAZY), partial(addon, more=LAZY)
    for make in lazily:
        with cost.lab_origin(protocols=["http/1.1"]) as origin:
            subject = cost.on_lab_origin(bench.fresh(make)(origin))
            times = await collateral.beside_if_any(subject, 20, seconds=4.0 if bench.quick else 10.0)
            subject.stop()
        stalled = times and sum(each >= collateral.STALLED for each in times) / len(times)
        ours = subject.name == "shaper"
        bench.board.add(subject.name, "pages that stalled", times and 100 * stalled, "%", None, 0 if ours else None)
        bench.board.add(subject.name, "slowest page", times and 1000 * max(times), "ms", None, 100 if ours else None)


async def memory(bench):
    """Memory and read-ahead a transfer of 50 MB"""
    count, seconds = (10, 6.0) if bench.quick else (40, 20.0)
    for protocol in ("h1", "h2"):
        for subject, stalled in ((bench.mitmproxy, True), (bench.shaper, True), (bench.shaper, False)):
            ahead, size = await cost.read_ahead(subject, protocol, count, stalled=stalled, seconds=seconds)
            ours, label = subject is bench.shaper, f"{protocol}{', client stalled' if stalled else ''}"
            bench.board.add(subject.name, f"read-ahead, {label}", ahead / 1000, "kB", None, 128 if ours else None)
            bench.board.add(subject.name, f"memory, {label}", size / 1024, "KiB", None, 512 if ours else None)


async def processor(bench):
    """Processor time and memory of slowed transfers at 150 kbit/s, each time by a fresh process"""
    seconds = 1.0 if bench.quick else 4.0
    for protocol, count in (("h1", 100), ("h2", 100), ("h1", 200), ("h2", 200)):
        floor = None
        for make in (mitmproxy, shaper):
            subject = bench.fresh(make)(bench.origin)
            core, a_gigabyte, size = await cost.running(subject, protocol, count, seconds=seconds)
            subject.stop()
            ours, label = make is shaper, f"{count} {protocol}"
            most = 0.15 if ours and count == 200 else None
            bench.board.add(subject.name, f"share of a core, {label}", core, "", None, most)
            most = 80 if ours and count == 100 and protocol == "h1" else None
            bench.board.add(subject.name, f"CPU seconds a GB, {label}", a_gigabyte, "s/GB", None, most)
            most = floor + 64 if floor is not None else None
            bench.board.add(subject.name, f"memory a transfer, {label}", size / 1024, "KiB", None, most)
            floor = size / 1024


async def crowd(bench):
    """A thousand transfers at 150 kbit/s on one core"""
    for protocol, count in (("h1", 200), ("h2", 200)) if bench.quick else (("h1", 200), ("h1", 1000), ("h2", 1000)):
        ratios, times, core, gap = await scale.many(bench.shaper, protocol, count, SLOW)
        label = f"{count} {protocol}"
        bench.board.add("shaper", f"slowest of all, achieved/configured, {label}", min(ratios), "", 0.98)
        bench.board.add("shaper", f"fastest of all, achieved/configured, {label}", max(ratios), "", None, 1.02)
        bench.board.add("shaper", f"longest gap, {label}", 1000 * gap, "ms", None, 60 if count == 200 else None)
        bench.board.add("shaper", f"page p50 beside {label}", 1000 * collateral.percentile(times, 0.5), "ms")
        bench.board.add("shaper", f"page p99 beside {label}", 1000 * collateral.percentile(times, 0.99), "ms", None, 50)
        bench.board.add("shaper", f"share of a core, {label}", core, "", None, 1.0)


async def fairness(bench):
    """Ten transfers under one cap of a client, five over h1 and five streams of one h2 connection"""
    one, seconds = fair.subject(bench.home / "fair", bench.origin), 4 if bench.quick else 10
    for cap in fair.CAPS:
        lines = await fair.together(one, cap, seconds=seconds)
        whole, worst, total = fair.shares(lines, cap, seconds)
        bench.board.add("shaper", f"Jain's index, {cap / 1e6:g}M", whole, "", 0.999)
        bench.board.add("shaper", f"  in the worst second, {cap / 1e6:g}M", worst, "", 0.99)
        bench.board.add("shaper", f"  all together, achieved/configured, {cap / 1e6:g}M", total, "", 0.995, 1.005)
        lines = await fair.together(one, cap, seconds=4, late=3)
        joined = fair.at_its_share(lines[-1], cap, len(fair.TEN))
        bench.board.add("shaper", f"  a late joiner has its share after, {cap / 1e6:g}M", joined, "s", None, 0.5)
    one.stop()


async def unslowed(bench):
    """Traffic of targets that is no media, and tunnels of hosts that are no target, against mitmproxy"""
    for tunnelled, least in ((False, 97), (True, 95)):
        for protocol in ("h1",) if tunnelled else ("h1", "h2"):
            told = {subject.name: [] for subject in (bench.mitmproxy, bench.shaper)}
            for _ in range(3 if bench.quick else 9):
                for subject in (bench.mitmproxy, bench.shaper):
                    speed, a_gigabyte = passing.throughput(subject, protocol, tunnelled=tunnelled)
                    often, a_request = await passing.requests(subject, protocol, tunnelled=tunnelled, seconds=1.0)
                    told[subject.name].append((speed, a_gigabyte, often, a_request))
            label = "tunnel" if tunnelled else f"intercepted {protocol}"
            units = (("MB/s", True), ("s/GB", False), ("requests/s", True), ("CPU µs a request", False))
            both = [[median(column) for column in zip(*told[name], strict=True)] for name in ("mitmproxy", "shaper")]
            for (unit, higher), floor, ours in zip(units, *both, strict=True):
                bench.board.add("mitmproxy", f"{label}, {unit}", floor)
                bench.board.add("shaper", f"{label}, {unit}", ours)
                share = 100 * (ours / floor if higher else floor / ours)
                bench.board.add("shaper", f"{label}, {unit}, against mitmproxy", share, "%", least)


async def patterns(bench):
    """A policy of 10,000 host patterns"""
    judge, loaded = deciding.loading()
    bench.board.add("shaper", "loads", loaded, "s", None, 1)
    for known, label, most in ((True, "a host that is known", 5), (False, "a host's first message", None)):
        middle, late = deciding.deciding(judge, known=known)
        bench.board.add("shaper", f"decides, {label}, p50", middle, "µs", None, most)
        bench.board.add("shaper", f"decides, {label}, p99", late, "µs")


SECTIONS = {
    each.__name__: each
    for each in (rate, shape, page, h1_origin, memory, processor, crowd, fairness, unslowed, patterns)
}


async def run(bench, chosen):
    bench.board.section("Start")
    bench.board.add("mitmproxy", "start-up", bench.mitmproxy.started_in, "s")
    bench.board.add("shaper", "start-up", bench.shaper.started_in, "s", None, 1.5)
    for name in chosen:
        bench.board.section(SECTIONS[name].__doc__)
        gc.collect()
        gc.freeze()
        with bench.shaper.program.apart() if name in ("rate", "shape") else contextlib.nullcontext():
            await SECTIONS[name](bench)


def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    options = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    options.add_argument("--quick", action="store_true", help="fewer repeats: shows that it works, not how fast it is")
    options.add_argument("--only", action="append", choices=SECTIONS, help="this section; may be given again")
    options.add_argument("--json", type=Path, help="write the figures here too")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="shaper-bench-") as home:
        bench = Bench(Path(home), quick=asked.quick)
        try:
            asyncio.run(run(bench, asked.only or list(SECTIONS)))
        finally:
            bench.stop()
    if asked.json:
        bench.board.save(asked.json)
    goals = sum(figure.has_goal for figure in bench.board.figures)
    print(f"\n{goals - len(bench.board.missed())} of {goals} goals met.")


if __name__ == "__main__":
    main()

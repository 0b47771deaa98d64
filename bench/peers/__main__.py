"""`make bench-peers`: shaper beside its peers, in one run and in turns; writes docs/benchmarks.md.

    python -m bench.peers [--repeats N] [--quick] [--kept DIR] [--note TEXT] [-o FILE]

Every peer gets the same origin, bodies, load client and machine, one after another, `repeats` times; figures are
medians of the repeats. Squid has no HTTP/2 towards clients; mitmproxy does not slow, so its pictures are slowed by the
origin: it shows what shaper's own foundation costs.
"""

import argparse
import asyncio
import gc
import os
import platform
import resource
import ssl
import subprocess
import tempfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median

from bench import accuracy, collateral, cost, passing
from bench.__main__ import NAMES
from bench.origin import Origin
from bench.peers import reverse
from bench.peers.squid import squid
from bench.peers.table import Results, write
from bench.subject import BURST, SLOW, direct, mitmproxy, shaper
from shaper.measure import line

HERE = Path(__file__).parent
DOCUMENT = HERE.parent.parent / "docs" / "benchmarks.md"


class Peers:
    """All that take part in one run."""

    def __init__(self, home: Path, kept: Path):
        (home / "origin").mkdir()
        self.origin = origin = Origin(home / "origin", NAMES)
        self.starts = {
            "shaper": partial(shaper, home / "shaper", origin),
            "mitmproxy": partial(mitmproxy, home / "mitmproxy", origin),
            "nginx": partial(reverse.nginx, home / "nginx", origin),
            "HAProxy": partial(reverse.haproxy, home / "haproxy", origin, kept / "haproxy"),
            "Envoy": partial(reverse.envoy, home / "envoy", origin, kept / "envoy" / "bin" / "envoy"),
            "Squid": partial(squid, home / "squid", origin),
        }
        self.all = {name: start() for name, start in self.starts.items()}
        self.all["direct"] = direct(origin)

    def named(self, *names):
        return [self.all[name] for name in names]

    @property
    def slowing(self):
        return self.named("shaper", "HAProxy", "Envoy", "nginx", "Squid")

    def stop(self):
        for each in (*self.all.values(), self.origin):
            if each.program:
                each.program.stop()


def speaks(subject):
    return ("h1",) if subject.name == "Squid" else ("h1", "h2")


async def rates(peers, results, quick):
    """Goodput over configured rate"""
    bodies = [(SLOW, "100k"), (1_000_000, "100k"), (1_000_000, "1m"), (10_000_000, "100k"), (10_000_000, "10m"),
              (50_000_000, "100k"), (50_000_000, "10m")]  # fmt: skip
    for rate, size in bodies:
        if quick and size == "10m":
            continue
        for subject in peers.slowing:
            burst = BURST if subject.name == "shaper" else 0
            for protocol in speaks(subject):
                with subject.program.apart():
                    value, _ = await accuracy.once(subject, protocol, rate, size, burst)
                column = f"{rate / 1e6:g}M {size}"
                results.add(
                    "rates", f"{subject.name} {protocol}", column, value and value * rate / subject.configured(rate)
                )


async def shapes(peers, results, _):
    """The shape of 100 kB at 150 kbit/s"""
    for subject in peers.slowing:
        for protocol in speaks(subject):
            row = f"{subject.name} {protocol}"
            with subject.program.apart():
                lines = await accuracy.shape(subject, protocol, SLOW)
            for each in lines:
                rate = subject.configured(SLOW)
                results.add("shapes", row, "distance, kB", line.distance(each, rate) / 1000)
                results.add("shapes", row, "CV in 100 ms", line.variation(each))
                results.add("shapes", row, "longest gap, ms", 1000 * line.longest_gap(each))


async def pages(peers, results, quick):
    """A page beside slowed transfers"""
    names = ("shaper", "mitmproxy", "HAProxy", "Envoy", "nginx", "Squid", "direct")
    for same, counts in ((False, (0, 50, 200)), (True, (0, 50, 90))):
        for count in counts:
            for subject in peers.named(*names):
                if same and subject.name == "Squid":
                    continue
                protocol = "h2" if same else "h1"
                seconds = 2.0 if quick else 4.0
                times = await collateral.beside(subject, count, protocol=protocol, same=same, seconds=seconds)
                section = "pages on the same h2 connection" if same else "pages on other connections"
                results.add(section, subject.name, f"p50 {count}", 1000 * collateral.percentile(times, 0.5))
                results.add(section, subject.name, f"p99 {count}", 1000 * collateral.percentile(times, 0.99))


async def costs(peers, results, quick):
    """What 100 slowed transfers of 50 MB cost, and how far ahead the origin is read"""
    for subject in peers.named("shaper", "mitmproxy", "HAProxy", "Envoy", "nginx", "Squid"):
        for protocol in speaks(subject):
            row = f"{subject.name} {protocol}"
            core, a_gigabyte, memory = await cost.running(subject, protocol, 100, seconds=4.0 if quick else 8.0)
            results.add("costs", row, "share of a core", core)
            results.add("costs", row, "CPU s/GB", a_gigabyte)
            results.add("costs", row, "memory, KiB", memory / 1024)
            if subject.name != "mitmproxy":
                ahead, _ = await cost.read_ahead(subject, protocol, 20)
                results.add("costs", row, "read-ahead, kB", ahead / 1000)
            ahead, _ = await cost.read_ahead(subject, protocol, 20, stalled=True)
            results.add("costs", row, "read-ahead, client stalled, kB", ahead / 1000)


async def passes(peers, results, _):
    """Traffic that nobody slows"""
    for subject in peers.named("shaper", "mitmproxy", "HAProxy", "Envoy", "nginx", "Squid", "direct"):
        for protocol in speaks(subject):
            await _pass(results, subject, protocol, f"{subject.name} {protocol}", tunnelled=False)
    for subject in peers.named("shaper", "mitmproxy", "Squid"):
        await _pass(results, subject, "h1", f"{subject.name} tunnel", tunnelled=True)


async def _pass(results, subject, protocol, row, *, tunnelled):
    speed, a_gigabyte = passing.throughput(subject, protocol, tunnelled=tunnelled)
    often, a_request = await passing.requests(subject, protocol, tunnelled=tunnelled)
    results.add("passes", row, "MB/s", speed)
    results.add("passes", row, "CPU s/GB", a_gigabyte)
    results.add("passes", row, "requests/s", often)
    results.add("passes", row, "CPU µs a request", a_request)


SECTIONS = (rates, shapes, pages, costs, passes)


def versions(peers, kept: Path):
    """Return what is measured, in its own words."""
    library = kept / "haproxy/usr/lib/x86_64-linux-gnu"
    loader = [str(kept / "haproxy/usr/lib64/ld-linux-x86-64.so.2"), "--library-path", str(library)]
    asked = {
        "nginx": [peers.origin.nginx, "-v"],
        "HAProxy": [*loader, str(kept / "haproxy/usr/sbin/haproxy"), "-v"],
        "Envoy": [str(kept / "envoy/bin/envoy"), "--version"],
        "Squid": ["/usr/sbin/squid", "-v"],
        "curl": ["curl", "--version"],
    }
    told = {}
    for name, command in asked.items():
        shown = subprocess.run(command, capture_output=True, text=True, check=False)
        words = (shown.stdout + shown.stderr).split("Known bugs")[0].replace("/", " ").split()
        told[name] = next((word for word in words if word[0].isdigit() and word.count(".") >= 1), "?")
    return told


async def run(peers, results, *, repeats, quick):
    for repeat in range(repeats):
        for section in SECTIONS:
            print(f"{repeat + 1}/{repeats} {section.__doc__}, load average {os.getloadavg()[0]:.1f}", flush=True)
            gc.collect()
            await section(peers, results, quick)


def main():
    options = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__.splitlines()[0])
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--quick", action="store_true", help="shorter: shows that it works")
    options.add_argument("--kept", type=Path, default=Path.home() / ".cache" / "shaper-peers", help="the peers' place")
    options.add_argument("--note", default="", help="a sentence on how the run was made, for the document")
    options.add_argument("-o", "--output", type=Path, default=DOCUMENT)
    asked = options.parse_args()
    subprocess.run([str(HERE / "install"), str(asked.kept)], check=True)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    _forgive_squid()
    results, load = Results(), [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory(prefix="shaper-peers-") as home:
        peers = Peers(Path(home), asked.kept)
        try:
            asyncio.run(run(peers, results, repeats=asked.repeats, quick=asked.quick))
        finally:
            peers.stop()
    load.append(os.getloadavg()[0])
    about = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": f"{os.cpu_count()} cores, Linux {platform.release()}, loopback",
        "load": f"{median(load):.1f}",
        "repeats": str(asked.repeats),
        "note": asked.note,
        "versions": versions(peers, asked.kept),
    }
    write(asked.output, results, about)
    print(f"{asked.output}: written")


def _forgive_squid():
    """Squid's certificates lack an identifier that Python asks for by default since 3.13."""
    strict = ssl.create_default_context

    def lenient(*arguments, **named):
        context = strict(*arguments, **named)
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context

    ssl.create_default_context = lenient


if __name__ == "__main__":
    main()

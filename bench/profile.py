"""`python -m bench.profile [-o FILE]`: where does the processor time of slowed transfers go?

Samples `shaper run` with py-spy (`pip install py-spy`; it is no dependency) while 200 transfers at 150 kbit/s go on,
and counts each sample for the part of the code that it was in. Kernel time counts for who asked the kernel.

What they cost is measured twice: the second time something idles busily on shaper's processor, at a priority below
every other. A processor that sleeps between two wakes is slow at first, and a virtual one may have to be fetched.
"""

import argparse
import asyncio
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from bench import cost
from bench.__main__ import NAMES
from bench.collateral import slowed
from bench.origin import Origin
from bench.subject import BIN, shaper

COUNT, SECONDS, OFTEN = 200, 20, 250
PROTOCOLS = ("h1", "h2")

PARTS = {
    "pacing: pieces, buckets, alarms": (
        "shaper/pacing/",
        "shaper/proxy/ticker.py",
        "shaper/proxy/channel.py",
        "heapq.py",
    ),
    "account: ledger, metrics, journal": ("shaper/record/", "prometheus_client/"),
    "TLS": ("OpenSSL/", "shaper/proxy/encrypting.py"),
    "HTTP/2 frames": ("h2/", "hyperframe/", "hpack/", "shaper/proxy/data_frames.py"),
    "the rest of shaper's seam": ("shaper/",),
    "sockets and event loop": ("asyncio/",),
    "mitmproxy's layers": ("mitmproxy/",),
}
OTHER = "everything else"


def part_of(stack):
    """Return the part that the innermost frame of a sample belongs to; None for other threads and when at rest."""
    place = stack[-1].rpartition("(")[2]
    if place.startswith("selectors.py") or not any(frame.startswith("BaseEventLoop._run_once") for frame in stack):
        return None
    return next((part for part, places in PARTS.items() if place.startswith(places)), OTHER)


def samples(raw):
    """Yield the stack of each sample, and how often it came, from py-spy's raw format."""
    for line in raw.read_text().splitlines():
        stack, _, often = line.rpartition(" ")
        yield stack.split(";"), int(often)


@contextmanager
def awake():
    """Keep the last processor, which is the subject's, from sleeping."""
    idling = f"import os; os.sched_setaffinity(0, {{{max(os.sched_getaffinity(0))}}})\n"
    idling += "os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", idling]) as process:
        try:
            yield
        finally:
            process.kill()


async def profiled(subject, protocol, raw):
    """Return the share of a core, that of one which does not sleep, and the samples by part."""
    sampler = shutil.which("py-spy", path=f"{BIN}:{os.environ['PATH']}")
    if not sampler:
        sys.exit(f"py-spy is not installed: {BIN}/pip install py-spy")
    core, _, _ = await cost.running(subject, protocol, COUNT)
    with awake():
        without_sleep, _, _ = await cost.running(subject, protocol, COUNT)
    sessions = await cost.sessions_for(subject, protocol, COUNT)
    async with slowed(subject, sessions, COUNT, 3.0):
        command = [
            sampler,
            "record",
            "-p",
            subject.program.process.pid,
            "-d",
            SECONDS,
            "-r",
            OFTEN,
            "-f",
            "raw",
            "-o",
            raw,
        ]
        sampling = await asyncio.create_subprocess_exec(*map(str, command), stdout=subprocess.DEVNULL)
        if await sampling.wait():
            sys.exit("py-spy could not look into the process: it needs root, or kernel.yama.ptrace_scope=0")
    await cost.close_all(sessions)
    found = Counter()
    for stack, often in samples(raw):
        if part := part_of(stack):
            found[part] += often
    return (core, without_sleep), found


def document(about, columns):
    """Return the page: a row for each part."""
    lines = [
        "# Where the time goes",
        "",
        f"Written by `python -m bench.profile -o docs/profile.md` on {about}: {COUNT} transfers at 150 kbit/s, "
        f"{SECONDS} s, {OFTEN} samples a second by py-spy. Kernel time counts for who asked the kernel.",
        "",
        "| | " + " | ".join(columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    for part in (*PARTS, OTHER):
        shares = [found[part] / found.total() for _, found in columns.values()]
        lines.append(f"| {part} | " + " | ".join(f"{share:.0%}" for share in shares) + " |")
    for n, what in enumerate(("**share of a core**, when nobody samples", "the same, of one that never sleeps")):
        lines.append(f"| {what} | " + " | ".join(f"{cores[n]:.3f}" for cores, _ in columns.values()) + " |")
    return "\n".join(lines) + "\n"


def main():
    options = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__.partition("\n")[0])
    options.add_argument("-o", "--output", type=Path, help="a document; without it the page is printed")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="shaper-profile-") as name:
        home = Path(name)
        (home / "origin").mkdir()
        columns, origin = {}, Origin(home / "origin", NAMES)
        with origin.program:
            for protocol in PROTOCOLS:
                subject = shaper(home / protocol, origin)
                with subject.program:
                    columns[protocol] = asyncio.run(profiled(subject, protocol, home / f"{protocol}.raw"))
    about = f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Python {platform.python_version()}"
    text = document(about, columns)
    if asked.output:
        asked.output.write_text(text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()

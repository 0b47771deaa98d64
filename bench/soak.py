"""`python -m bench.soak`: mixed real clients with aborts, reloads and origin faults, for as long as is wished.

    python -m bench.soak [--minutes 2] [--clients 40] [--seed 1]

Clients are curl (h1, h2) and the probe. Bodies come from the lab's origin, which breaks off, stalls and frames as it is
asked; both ends know their hash. At the end memory must be within a tenth of its level after warm-up, no descriptor,
task, transfer or backlog may be left, and every body that was said to be complete must be right.
"""

import argparse
import asyncio
import os
import random
import re
import signal
import sys
import tempfile
import urllib.request
from collections import Counter
from functools import cache
from hashlib import sha256
from pathlib import Path
from statistics import median
from time import monotonic

from bench.scoreboard import Scoreboard
from bench.subject import Subject, shaper
from shaper.lab.origin import Origin as LabOrigin
from shaper.lab.payload import Stream, digest
from shaper.measure.fetched import EAGER, Appetite
from shaper.measure.probe import connect
from shaper.record.fallback import Fallback

NAMES = ("slow.soak.test", "other.soak.test")
POLICY = """
version: 1
study: soak
description: "{note}"
targets: {{slow: {{hosts: [slow.soak.test]}}}}
rules:
  - {{name: photos, target: slow, media: [image], caps: [{{rate: {rate} Mbit/s, burst: 2 KiB}}]}}
  - {{name: video, target: slow, media: [video], caps: [{{scope: client, rate: 20 Mbit/s}}]}}
"""
SIZES = (0, 1, 2000, 20_000, 100_000, 400_000)
known = cache(lambda size: digest(Stream(size)))


class Soak:
    """Counts what came of every request."""

    def __init__(self, subject: Subject, seed: int):
        self.subject = subject
        self.random = random.Random(seed)
        self.came: Counter[str] = Counter()
        self.wrong: list[str] = []

    def draw(self):
        """Return a URL, the size that it promises, and whether the origin will break off."""
        rng = self.random
        size = rng.choice(SIZES)
        query = f"/bytes?size={size}&type={rng.choice(('image/jpeg', 'video/mp4', 'text/html', 'application/json'))}"
        if rng.random() < 0.3:
            query += f"&framing={rng.choice(('chunked', 'close'))}&chunk={rng.choice((100, 3000, 65536))}"
        breaks = size > 2000 and rng.random() < 0.15
        if breaks:
            query += f"&abort_after={rng.randrange(size)}"
        elif rng.random() < 0.05:
            query += "&stall_after=0&stall=0.5"
        return f"https://{rng.choice((*NAMES[:1] * 3, NAMES[1]))}{query}", size, breaks

    def judge(self, who, url, size, breaks, complete, hashed):
        """Note a result. A broken body must not pass for a complete one, unless its framing cannot tell."""
        self.came[f"{who} {'complete' if complete else 'not complete'}"] += 1
        if complete and hashed != known(size) and not (breaks and "framing=close" in url):
            self.wrong.append(f"{who} {url}")

    async def curl(self):
        """One curl, with its own connection; some are killed on the way."""
        url, size, breaks = self.draw()
        version = self.random.choice(("--http1.1", "--http2"))
        process = await asyncio.create_subprocess_exec(
            "curl", "-sk", version, "--max-time", "30", "-x", "http://{}:{}".format(*self.subject.proxy), url,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        reading = asyncio.create_task(process.stdout.read())
        if self.random.random() < 0.2:
            await asyncio.sleep(self.random.random())
            if process.returncode is None:
                process.kill()
        body = await reading
        code = await process.wait()
        self.judge("curl" + version[2:], url, size, breaks, code == 0, sha256(body).hexdigest())

    async def probe(self):
        """One connection with several requests at once; some leave, some stall."""
        protocol = self.random.choice(("h1", "h2"))
        drawn = [self.draw() for _ in range(self.random.randrange(1, 8))]
        by_host = {}
        for each in drawn:
            by_host.setdefault(each[0].split("/")[2], []).append(each)
        for host, asked in by_host.items():
            ca = self.subject.ca if host == NAMES[0] else self.subject.origin.ca
            try:
                session = await connect(f"https://{host}", protocol=protocol, proxy=self.subject.proxy, ca=ca)
            except OSError:
                self.came["probe no connection"] += 1
                continue
            async with session:
                await asyncio.gather(*(self._ask(session, *each) for each in asked))

    async def _ask(self, session, url, size, breaks):
        roll, appetite = self.random.random(), EAGER
        if roll < 0.15 and size:
            appetite = Appetite(leave_after=self.random.randrange(size) + 1)
        elif roll < 0.25 and size:
            appetite = Appetite(stall_after=self.random.randrange(size) + 1, stall=0.5)
        target = "/" + url.split("/", 3)[3]
        fetched = await session.request(target, timeout=30, appetite=appetite)
        complete = fetched.outcome == "complete" and fetched.status == 200
        self.judge(f"probe {session.protocol}", url, size, breaks, complete, fetched.sha256)

    async def client(self, until):
        while monotonic() < until:
            await (self.curl() if self.random.random() < 0.4 else self.probe())


def metric(subject, name):
    """Return the sum of a metric's samples."""
    url = re.search(r"http://\S+/metrics", subject.program.printed())[0]
    with urllib.request.urlopen(url, timeout=10) as response:
        lines = response.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if re.match(rf"{name}[{{ ]", line))


async def reload(subject, file, rng, until, came):
    """Reload again and again; every third file is broken, and the running policy must stay."""
    while monotonic() < until:
        await asyncio.sleep(rng.uniform(0.5, 2))
        came["reloads"] += 1
        broken = came["reloads"] % 3 == 0
        text = "version: 1\nrules: [" if broken else POLICY.format(rate=rng.choice((1, 2, 8)), note=came["reloads"])
        file.write_text(text)
        os.kill(subject.program.process.pid, signal.SIGHUP)


async def watch(subject, until):
    """Sample memory once a second."""
    samples = []
    while monotonic() < until:
        samples.append(subject.program.memory())
        await asyncio.sleep(1)
    return samples


async def run(asked, home, board):
    with LabOrigin(NAMES) as origin:
        origin.ca, origin.tunnel_port = origin.ca_pem, 0
        routes = [f"--connect-to={name}:443:127.0.0.1:{origin.port}" for name in NAMES]
        more = (*routes, f"--journal={home / 'journal.jsonl'}")
        first, command = POLICY.format(rate=2, note="first"), (sys.executable, "-m", "bench.watched")
        subject = shaper(home / "shaper", origin, policy=first, more=more, command=command)
        try:
            await soak(asked, subject, home, board)
        finally:
            subject.stop()


async def soak(asked, subject, home, board):
    work = Soak(subject, asked.seed)
    await asyncio.gather(*(work.client(monotonic() + 1) for _ in range(4)))
    await asyncio.sleep(2)
    idle, tasks = subject.program.descriptors(), metric(subject, "bench_tasks")  # the journal is open now
    until = monotonic() + 60 * asked.minutes
    clients = [work.client(until) for _ in range(asked.clients)]
    rng = random.Random(asked.seed)
    memory, *_ = await asyncio.gather(
        watch(subject, until), reload(subject, home / "shaper" / "policy.yaml", rng, until, work.came), *clients
    )
    await asyncio.sleep(5)
    for name, count in sorted(work.came.items()):
        board.add("soak", name, count)
    third = len(memory) // 3
    warm, late = median(memory[third : third + max(3, len(memory) // 6)]), median(memory[-max(3, len(memory) // 6) :])
    board.add("shaper", "memory after warm-up", warm / 2**20, "MiB")
    board.add("shaper", "memory at the end over that", late / warm, "", None, 1.1)
    board.add("shaper", "descriptors left", subject.program.descriptors() - idle, "", None, 0)
    board.add("shaper", "tasks left", metric(subject, "bench_tasks") - tasks, "", None, 0)
    for name in ("shaper_active_transfers", "shaper_backlog_bytes", "shaper_gated_origins"):
        board.add("shaper", f"{name} left", metric(subject, name), "", None, 0)
    for reason in Fallback:
        name = f'shaper_fallbacks_total{{reason="{reason}"}}'
        least = None if reason is Fallback.TLS else 0  # who is killed in its handshake seems not to trust us
        board.add("shaper", f"fallbacks: {reason}", metric(subject, re.escape(name)), "", None, least)
    board.add("shaper", "complete bodies that are wrong", len(work.wrong), "", None, 0)
    printed = [line for line in subject.program.printed().splitlines() if "Traceback" in line or "crashed" in line]
    board.add("shaper", "tracebacks", len(printed), "", None, 0)
    for each in work.wrong[:10]:
        print(f"  wrong: {each}")


def main():
    options = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__.splitlines()[0])
    options.add_argument("--minutes", type=float, default=2.0)
    options.add_argument("--clients", type=int, default=40)
    options.add_argument("--seed", type=int, default=1)
    asked = options.parse_args()
    board = Scoreboard()
    board.section(f"Soak: {asked.clients} clients, {asked.minutes:g} minutes, seed {asked.seed}")
    with tempfile.TemporaryDirectory(prefix="shaper-soak-") as home:
        asyncio.run(run(asked, Path(home), board))
    raise SystemExit(1 if board.missed() else 0)


if __name__ == "__main__":
    main()

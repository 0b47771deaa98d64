"""Runs whose truth is known, made on this machine: real TCP between two network namespaces, real drops.

    python -m bench.flows RUN [--seed N] [--quick]

A path is a pair of TUN devices joined by a carrier that adds delay and has a link rate and a drop-tail queue, so no
netem is needed, only NET_ADMIN and nft. The server paces with shaper's own buckets (smooth, window), or sends at once
and a policer in the path drops (police), or nothing limits it but the path (none). The policer is nftables where
packets enter the client's namespace: there they have left the server for good, whose TCP learns of the loss as of any
other. A drop on the server's own way out is told to its TCP, and is none. The result is a run directory.
"""

import argparse
import asyncio
import contextlib
import fcntl
import heapq
import itertools
import os
import platform
import random
import select
import signal
import socket
import struct
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from shaper.measure.run import Arm, Conditions, Outcome, ReadEvent, Sample, Truth, conditions, encode_sample
from shaper.pacing.token_bucket import TokenBucket
from shaper.pacing.window_bucket import WindowBucket

SERVER, CLIENT = "10.200.0.1", "10.200.0.2"
FREE_PORT, FIRST_POLICED = 9000, 9001
TCP_CONGESTION = 13
TIMEOUT = 60.0
TOGETHER = 8


@dataclass(frozen=True)
class Line:
    """One way from server to client."""

    delay: float  # s each way
    rate: float  # bit/s towards the client
    congestion: str
    queue: int = 150_000


@dataclass(frozen=True)
class Job:
    """One flow to make."""

    truth: Truth
    size: int
    port: int

    @property
    def name(self):
        rate = f"-{self.truth.rate / 1000:g}k" if self.truth.rate else ""
        return f"{self.truth.manner}{rate}-{self.size // 1000}kB"


def call(*command, feed=None):
    subprocess.run(command, check=True, input=feed, text=True, capture_output=True)


def make_device(address, peer):
    """Make a TUN device in this process's namespace and return its file."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, 0x400454CA, struct.pack("16sH", b"tun0", 0x0001 | 0x1000))  # TUNSETIFF, TUN | NO_PI
    call("ip", "address", "add", address, "peer", peer, "dev", "tun0")
    call("ip", "link", "set", "tun0", "mtu", "1500", "up")
    return device


def carry(server, client, line):
    """Carry packets both ways, late by the delay, through one queue towards the client, until killed."""
    waiting, order, free_at = [], itertools.count(), 0.0
    while True:
        until = max(0.0, waiting[0][0] - time.monotonic()) if waiting else 1.0
        ready, _, _ = select.select([server, client], [], [], until)
        now = time.monotonic()
        for source in ready:
            with contextlib.suppress(BlockingIOError):
                while packet := os.read(source, 2048):
                    due = now
                    if source == server:
                        free_at = max(free_at, now)
                        if (free_at - now) * line.rate / 8 > line.queue:
                            continue
                        free_at = due = free_at + len(packet) * 8 / line.rate
                    target = client if source == server else server
                    heapq.heappush(waiting, (due + line.delay, next(order), target, packet))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, target, packet = heapq.heappop(waiting)
            with contextlib.suppress(BlockingIOError):
                os.write(target, packet)


def police(jobs):
    """Have this namespace drop what arrives over the rate, for each connection from a policed port."""
    rates = {job.port: job.truth for job in jobs if job.truth.manner == "police"}
    sets = [f"set s{port} {{\ntype ipv4_addr . inet_service\nsize 65535\nflags dynamic\n}}" for port in rates]
    rules = [
        f"tcp sport {port} add @s{port} {{ ip daddr . tcp dport limit rate over {int(truth.rate / 8)} bytes/second "
        f"burst {truth.burst} bytes }} drop"
        for port, truth in rates.items()
    ]
    chain = ["chain arriving {\ntype filter hook prerouting priority raw", *rules, "}"]
    call("nft", "-f", "-", feed="\n".join(["table inet lab {", *sets, *chain, "}"]) + "\n")


async def send(reader, writer):
    """Answer `manner rate burst size` with that many bytes."""
    manner, *numbers = (await reader.readline()).decode().split()
    rate, burst, left = float(numbers[0]) / 8, float(numbers[1]), int(numbers[2])
    bucket = {"smooth": lambda: TokenBucket(rate, burst), "window": lambda: WindowBucket(rate, 1.0)}.get(manner)
    bucket = bucket() if bucket else None
    quantum = int(min(max(rate * 0.02, 300), 16384)) if bucket else 65536
    with contextlib.suppress(ConnectionError):
        while left:
            piece = min(quantum, left)
            if bucket:
                await asyncio.sleep(max(0.0, bucket.reserve(piece, time.monotonic()) - time.monotonic()))
            writer.write(bytes(piece))
            await writer.drain()
            left -= piece
        writer.close()


async def serve(jobs, line):
    servers = []
    for port in {job.port for job in jobs} | {FREE_PORT}:
        listener = socket.create_server((SERVER, port))
        listener.setsockopt(socket.IPPROTO_TCP, TCP_CONGESTION, line.congestion.encode())
        servers.append(await asyncio.start_server(send, sock=listener))
    await asyncio.gather(*(server.serve_forever() for server in servers))


async def fetch(job, number, block):
    began = time.monotonic()
    reader, writer = await asyncio.open_connection(SERVER, job.port)
    sent, reads, outcome = time.monotonic(), [], Outcome.COMPLETE
    started = datetime.now(UTC).isoformat()
    writer.write(f"{job.truth.manner} {job.truth.rate or 1} {job.truth.burst or 0} {job.size}\n".encode())
    try:
        async with asyncio.timeout(TIMEOUT):
            while data := await reader.read(65536):
                since = reads[-1].t if reads else 0.0
                reads.append(ReadEvent(since, round(time.monotonic() - sent, 6), len(data)))
    except TimeoutError:
        outcome = Outcome.TIMEOUT
    writer.transport.abort()
    return Sample(
        id=f"{block}-{number}",
        block=f"{block}",
        order=number,
        arm=job.truth.manner,
        probe="tcp",
        object=job.name,
        media="image",
        started=started,
        outcome=outcome,
        timeout=TIMEOUT,
        duration=reads[-1].t if outcome is Outcome.COMPLETE and reads else TIMEOUT,
        handshake=sent - began,
        ttfb=reads[0].t if reads else None,
        expected=job.size,
        received=sum(read.num_bytes for read in reads),
        reads=tuple(reads),
        truth=job.truth,
    )


async def fetch_all(jobs, block, out):
    gate = asyncio.Semaphore(TOGETHER)

    async def one(number, job):
        async with gate:
            sample = await fetch(job, number, block)
            with out.open("ab") as file:
                file.write(encode_sample(sample))

    async with asyncio.TaskGroup() as group:
        for number, job in enumerate(jobs):
            group.create_task(one(number, job))


def in_namespace(address, peer, hand_over, work):
    """Fork a process with a network of its own, hand its device over, and let it work."""
    if pid := os.fork():
        return pid
    with contextlib.suppress(BaseException):
        os.unshare(os.CLONE_NEWNET)
        call("ip", "link", "set", "lo", "up")
        socket.send_fds(hand_over, [b"device"], [make_device(address, peer)])
        work()
        os._exit(0)
    os._exit(1)


def run_line(line, jobs, block, out):
    """Make all flows over one line."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)

    def server():
        asyncio.run(serve(jobs, line))

    def client():
        police(jobs)
        time.sleep(1)  # until the server listens
        asyncio.run(fetch_all(jobs, block, out))

    children = [in_namespace(SERVER, CLIENT, theirs, server)]
    device = socket.recv_fds(ours, 16, 1)[1][0]
    children.append(in_namespace(CLIENT, SERVER, theirs, client))
    other = socket.recv_fds(ours, 16, 1)[1][0]
    if not (carrier := os.fork()):
        carry(device, other, line)
    _, status = os.waitpid(children[1], 0)
    for pid in (children[0], carrier):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    os.close(device), os.close(other)
    if status:
        raise SystemExit("the flows were not made: this needs root, /dev/net/tun and nft")


def jobs_of(rng, rates, seconds):
    jobs = []
    for index, rate in enumerate(rates):
        for length in seconds:
            size = int(rate / 8 * length)
            jobs.append(
                Job(Truth(manner="smooth", rate=rate, burst=rng.choice([2048, 2048, 16384, 65536])), size, FREE_PORT)
            )
            jobs.append(Job(Truth(manner="window", rate=rate, burst=int(rate / 8)), size, FREE_PORT))
            jobs.append(Job(Truth(manner="police", rate=rate, burst=16_000), size, FIRST_POLICED + index))
    jobs += [Job(Truth(manner="none"), size, FREE_PORT) for size in (100_000, 300_000, 1_000_000, 5_000_000)]
    rng.shuffle(jobs)
    return jobs


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("run", type=Path)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--quick", action="store_true", help="one line and two rates instead of six and four")
    asked = options.parse_args()
    rng = random.Random(asked.seed)
    asked.run.mkdir(parents=True)
    made = Conditions(
        name="known-flows",
        plan="bench/flows.py",
        seed=asked.seed,
        started=datetime.now(UTC).isoformat(),
        arms=tuple(Arm(name=name) for name in ("none", "smooth", "window", "police")),
        reference="none",
        probes=("tcp",),
        versions={"python": platform.python_version(), "kernel": platform.release()},
        machine={"cores": str(os.cpu_count())},
        clock={"source": "monotonic"},
    )
    (asked.run / "run.json").write_bytes(conditions.dump_json(made))
    delays, congestions = ([0.025], ["cubic"]) if asked.quick else ([0.01, 0.025, 0.05], ["cubic", "bbr"])
    rates, seconds = ([150e3, 1e6], [8]) if asked.quick else ([128e3, 150e3, 1e6, 5e6], [5, 12])
    for block, (delay, congestion) in enumerate(itertools.product(delays, congestions)):
        line = Line(delay, rng.choice([20e6, 40e6]), congestion)
        run_line(line, jobs_of(rng, rates, seconds), block, asked.run / "samples.jsonl")
        print(f"{line}: done", flush=True)


if __name__ == "__main__":
    main()

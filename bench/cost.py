"""What does a slowed transfer cost? Processor time, memory, and how far ahead of the client the origin is read."""

import asyncio
import gc
from contextlib import contextmanager
from statistics import fmean
from time import monotonic

from bench.collateral import slowed
from shaper.lab.origin import Origin as LabOrigin
from shaper.measure.fetched import Appetite

SEND_BUFFER = 16_384  # of the lab's origin, so that it knows what it has really got rid of


async def sessions_for(subject, protocol, count, **more):
    return [await subject.connect(protocol, **more) for _ in range(count if protocol == "h1" else -(-count // 90))]


async def close_all(sessions):
    for session in sessions:
        await session.close()


async def running(subject, protocol, count, *, seconds=8.0, settle=3.0):
    """Return the share of a core, CPU seconds a GB and bytes of memory a transfer, with `count` going on at once."""
    gc.collect()
    before = subject.program.memory()
    sessions = await sessions_for(subject, protocol, count)
    async with slowed(subject, sessions, count, settle):
        got = [0]
        for session in sessions:
            _count_reads(session, got)
        cpu, begun = subject.program.cpu(), monotonic()
        await asyncio.sleep(seconds)
        spent, elapsed, size = subject.program.cpu() - cpu, monotonic() - begun, got[0]
        memory = subject.program.memory() - before
    await close_all(sessions)
    return spent / elapsed, spent / size * 1e9 if size else None, memory / count


def _count_reads(session, got):
    receive = session.receive

    def counting(data, since, now):
        got[0] += len(data)
        receive(data, since, now)

    session.receive = counting


@contextmanager
def lab_origin(**how):
    """Serve the same names from the lab's origin, which counts what it sent."""
    with LabOrigin(["localhost", "127.0.0.1"], **how) as origin:
        origin.ca, origin.tunnel_port = origin.ca_pem, origin.plain_port
        yield origin


def on_lab_origin(subject, *, paced=True):
    """Have a subject ask the lab origin instead; `paced`: which slows what shaper does not."""
    rate = "&rate=150%20kbit/s" if paced and subject.name != "shaper" else ""
    subject.picture = f"/bytes?size=50000000&type=image/jpeg{rate}"
    subject.page = "/bytes?size=2000&type=text/html"
    return subject


async def read_ahead(make_subject, protocol, count, *, stalled=False, seconds=6.0):
    """Return how many bytes a transfer the origin got rid of beyond what its client took: mean and largest.

    The origin is the lab's, which counts. `make_subject(origin)` starts what is to be measured in front of it.
    """
    with lab_origin(send_buffer=SEND_BUFFER) as origin:
        subject = make_subject(origin)
        try:
            more = {"receive_buffer": 65_536, "window": 65_536} if stalled else {}
            sessions = await sessions_for(subject, protocol, count, **more)
            appetite = Appetite(stall_after=1) if stalled else Appetite()
            took = [0] * count

            def watch(index):
                def note(size):
                    took[index] += size

                return note

            picture = on_lab_origin(subject, paced=not stalled).picture
            tasks = [
                asyncio.create_task(
                    sessions[i % len(sessions)].request(
                        f"{picture}&n={i}", timeout=600, appetite=appetite, watch=watch(i),
                    )
                )
                for i in range(count)
            ]  # fmt: skip
            await asyncio.sleep(seconds)
            sent = {int(e.request.query["n"]): e.sent for e in origin.seen if "n" in e.request.query}
            ahead = [sent.get(i, 0) - took[i] for i in range(count)]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await close_all(sessions)
        finally:
            subject.stop()
    return fmean(ahead), max(ahead)

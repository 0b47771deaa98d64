"""What does a slowed transfer cost? Processor time, memory, and how far ahead of the client the origin is read."""

import asyncio
import gc
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


async def read_ahead(make_subject, protocol, count, *, stalled=False, seconds=6.0):
    """Return how many bytes a transfer the origin got rid of beyond what its client took: mean and largest.

    The origin is the lab's, which counts. `make_subject(origin)` starts what is to be measured in front of it.
    """
    with LabOrigin(["localhost", "127.0.0.1"], send_buffer=SEND_BUFFER) as origin:
        origin.ca, origin.h1_port, origin.tunnel_port = origin.ca_pem, origin.port, 0
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

            slow = "" if subject.slow == "" else "&rate=150 kbit/s".replace(" ", "%20")
            if stalled:
                slow = ""
            tasks = [
                asyncio.create_task(
                    sessions[i % len(sessions)].request(
                        f"/bytes?size=50000000&type=image/jpeg&n={i}{slow}",
                        timeout=600, appetite=appetite, watch=watch(i),
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

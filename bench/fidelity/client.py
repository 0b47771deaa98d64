"""The client: one flow of each arm a block, in random order. Writes samples to its output, one a line.

    python client.py PROXY_PORT CELL BLOCKS SEED

A flow is a fetch over plain HTTP inside a CONNECT, on a connection of its own, so that reads show the line itself and
not whole TLS records. Blocks begin two seconds apart: some six are under way at a time.
"""

import asyncio
import base64
import random
import sys
import time
from datetime import UTC, datetime

from arms import ARMS, SIZE

from shaper.measure.run import Outcome, ReadEvent, Sample, encode_sample

PROXY, CREDENTIALS = "10.77.1.1", base64.b64encode(b"bench:bench").decode()
TIMEOUT, APART, WITHIN = 60.0, 2.0, 1.0


async def fetch(arm, port, block, order):
    begun = time.monotonic()
    reader, writer = await asyncio.open_connection(PROXY, port, local_addr=(arm.address, 0))
    writer.write(f"CONNECT {arm.host}:80 HTTP/1.1\r\nproxy-authorization: Basic {CREDENTIALS}\r\n\r\n".encode())
    if b" 200 " not in await reader.readuntil(b"\r\n\r\n"):
        raise SystemExit("the proxy refused")
    sent, started = time.monotonic(), datetime.now(UTC).isoformat()
    writer.write(f"GET /bytes?size={SIZE} HTTP/1.1\r\nhost: {arm.host}\r\n\r\n".encode())
    reads = []
    try:
        async with asyncio.timeout(TIMEOUT):
            await reader.readuntil(b"\r\n\r\n")
            while sum(read.num_bytes for read in reads) < SIZE:
                data = await reader.read(65536)
                if not data:
                    break
                last = reads[-1].t if reads else 0.0
                reads.append(ReadEvent(last, round(time.monotonic() - sent, 6), len(data)))
    except TimeoutError:
        pass
    writer.transport.abort()
    received = sum(read.num_bytes for read in reads)
    whole = received == SIZE
    return Sample(
        id=f"{block}-{arm.name}",
        block=block,
        order=order,
        arm=arm.name,
        probe="tcp",
        object=f"{SIZE // 1000} kB",
        media="image",
        started=started,
        outcome=Outcome.COMPLETE if whole else Outcome.TIMEOUT,
        timeout=TIMEOUT,
        duration=reads[-1].t if whole else TIMEOUT,
        handshake=sent - begun,
        ttfb=reads[0].t if reads else None,
        expected=SIZE,
        received=received,
        reads=tuple(reads),
        truth=arm.truth,
    )


async def main(port, cell, blocks, seed):
    rng = random.Random(f"{seed} {cell}")

    async def one(number, order, arm, wait):
        await asyncio.sleep(wait)
        sample = await fetch(arm, port, f"{cell}/{number}", order)
        sys.stdout.buffer.write(encode_sample(sample))

    async with asyncio.TaskGroup() as group:
        for number in range(blocks):
            for order, arm in enumerate(rng.sample(ARMS, len(ARMS))):
                wait = APART * number + WITHIN * order / len(ARMS)
                group.create_task(one(number, order, arm, wait))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]))

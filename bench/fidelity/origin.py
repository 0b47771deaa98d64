"""The origin, at the origin's address of the testbed. Says its port, and ends with its input."""

import asyncio
import sys

from shaper.lab.origin import Origin


async def main():
    origin = Origin()
    origin.host = "10.77.2.2"
    async with origin:
        print(origin.plain_port, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())

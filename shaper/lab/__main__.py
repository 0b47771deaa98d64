"""`python -m shaper.lab NAME…`: the origin in a process of its own, for a browser or a benchmark.

Prints one line of JSON that says where it is, and serves until its standard input ends.
"""

import asyncio
import json
import sys

from shaper.lab.origin import Origin


async def main(names: list[str]) -> None:
    """Serve `names`."""
    async with Origin(names or ["localhost", "127.0.0.1"]) as origin:
        where = {"host": origin.host, "port": origin.port, "plain_port": origin.plain_port, "ca": str(origin.ca_pem)}
        print(json.dumps(where), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))

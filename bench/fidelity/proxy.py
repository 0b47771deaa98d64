"""The proxy, at the proxy's address of the testbed. Says its port, and ends with its input.

python proxy.py POLICY JOURNAL CONGESTION ORIGIN_PORT HOST…
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from shaper.policy.admission import Standing
from shaper.policy.load import load
from shaper.proxy.server import ConnectTo, Proxy, Settings
from shaper.record.journal import Journal
from shaper.record.metrics import Metrics

ADDRESS, ORIGIN_ADDRESS = "10.77.1.1", "10.77.2.2"
CREDENTIALS = ("bench", "bench")


class Bench:
    """Everybody who is the bench may use the proxy."""

    def authenticate(self, username, password):
        return username if (username, password) == CREDENTIALS else None

    def standing(self, _):
        return Standing()


async def main(policy, journal, congestion, origin_port, *hosts):
    routes = tuple(ConnectTo(host, 80, ORIGIN_ADDRESS, int(origin_port)) for host in hosts)
    with tempfile.TemporaryDirectory() as ca_dir:
        settings = Settings(
            listen=(ADDRESS, 0), ca_dir=Path(ca_dir), connect_to=routes, require_auth=True, congestion=congestion
        )
        metrics = Metrics()
        journal = Journal(Path(journal), metrics)
        proxy = Proxy(load(Path(policy)), settings, [journal], metrics, registry=Bench())
        await proxy.start()
        print(proxy.address[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)
        await proxy.stop()
        journal.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

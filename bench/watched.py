"""`shaper run` with a gauge more: how many tasks its event loop has."""

import asyncio

from prometheus_client import Gauge

from shaper.cli.main import main
from shaper.proxy.server import Proxy

start = Proxy.start


async def start_watched(proxy):
    loop = asyncio.get_running_loop()
    gauge = Gauge("tasks", "Tasks of the event loop.", namespace="bench", registry=proxy.metrics.registry)
    gauge.set_function(lambda: len(asyncio.all_tasks(loop)))
    await start(proxy)


if __name__ == "__main__":
    Proxy.start = start_watched
    main()

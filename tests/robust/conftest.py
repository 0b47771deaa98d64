"""A proxy with a well-behaved origin, a rough one, and a bystander: whatever a test does, the bystander is served.

The rough origin does what the test's script says, over plaintext and TLS. After each test nothing may be left: no
transfer, no connection, no task, no file descriptor.
"""

import asyncio
import dataclasses
import gc
import ssl
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest_asyncio
from mitmproxy import ctx

from shaper.lab.authority import server_context
from shaper.lab.origin import Origin
from shaper.lab.payload import Stream, digest
from shaper.measure.probe import connect, fetch
from shaper.measure.run import Outcome
from shaper.policy.load import loads
from shaper.proxy.server import ConnectTo, Proxy, Settings
from shaper.record.bound import Bound
from shaper.record.log import SELDOM
from shaper.record.metrics import Metrics
from tests.e2e.conftest import Records, until

POLICY = """
version: 1
study: robust
targets: {media: {hosts: ["*.media.test"]}}
rules:
  - {name: slow, target: media, media: [image, video], caps: [{rate: 400 kbit/s, burst: 2 KiB}]}
"""
BYSTANDER = "both2.media.test"
PAGE = "/bytes?size=20000&type=text/html"
MUCH = 32 * 2**20

type Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Rough:
    """An origin that does what `script` does with each connection, and counts them."""

    def __init__(self) -> None:
        self.script: Script | None = None
        self.connections: list[asyncio.Task[None]] = []
        self.ports: list[int] = []

    async def start(self, tls: ssl.SSLContext) -> None:
        for context in (None, tls):
            server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=context)
            self.ports.append(server.sockets[0].getsockname()[1])

    async def _accept(self, reader, writer) -> None:
        self.connections.append(asyncio.current_task())
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self.script(reader, writer)
        writer.transport.abort()

    async def stop(self) -> None:
        for task in self.connections:
            task.cancel()
        await asyncio.gather(*self.connections, return_exceptions=True)
        self.connections.clear()

    def answers(self, *parts: bytes, then: float = 0.0, close: bool = True) -> None:
        """Have every request answered with these bytes, `then` seconds apart, and (or not) the connection closed."""

        async def answer(reader, writer) -> None:
            await reader.readuntil(b"\r\n\r\n")
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(then)
            if not close:
                await asyncio.sleep(3600)

        self.script = answer


@dataclass
class Remembering:
    """Knows, for as long as it is in memory, what mitmproxy made for each connection: its layers, flows and buffers."""

    proxy: Proxy
    handlers: weakref.WeakSet

    def client_connected(self, client) -> None:
        self.handlers.add(self.proxy.admitting.visitors[client.id].handler)


@dataclass
class Lab:
    proxy: Proxy
    origin: Origin
    rough: Rough
    records: Records = field(default_factory=Records)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def dial(self):
        """Open a bare connection to the proxy. It is cut off after the test."""
        reader, writer = await asyncio.open_connection(*self.proxy.address)
        self.writers.append(writer)
        return reader, writer

    async def tunnel(self, host: str, port: int = 443):
        """Open a bare tunnel."""
        reader, writer = await self.dial()
        writer.write(f"CONNECT {host}:{port} HTTP/1.1\r\nhost: {host}:{port}\r\n\r\n".encode())
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        return reader, writer

    async def h2(self, host: str = "both.media.test"):
        """Open a tunnel with TLS inside that has agreed on HTTP/2."""
        reader, writer = await self.tunnel(host)
        trust = ssl.create_default_context(cafile=self.proxy.ca_pem)
        trust.set_alpn_protocols(["h2"])
        await writer.start_tls(trust, server_hostname=host)
        return reader, writer

    async def fetch(self, target: str, protocol="h1", host="rough.media.test", scheme="http", **options):
        url = f"{scheme}://{host}{target}"
        return await fetch(url, proxy=self.proxy.address, protocol=protocol, ca=self.proxy.ca_pem, **options)

    async def connect(self, protocol="h1", host="both.media.test", scheme="https", **options):
        url = f"{scheme}://{host}"
        return await connect(url, proxy=self.proxy.address, protocol=protocol, ca=self.proxy.ca_pem, **options)

    @property
    def latest(self):
        """Who asked for something last, but for the bystander."""
        return max(self.others, key=lambda visitor: visitor.quiet_since)

    @property
    def others(self):
        """All who are there but the bystander."""
        return [v for v in self.proxy.admitting.visitors.values() if v.client.sni != BYSTANDER]

    async def age(self, seconds: float, count: int = 1) -> None:
        """Have so many others be there, and quiet for longer than they are."""
        assert await until(lambda: len(self.others) == count)
        for visitor in self.others:
            visitor.quiet_since -= seconds

    def hang_up(self) -> None:
        """Have the proxy end the latest connection, as it does with those that have been quiet for too long."""
        self.latest.handler.transports[self.latest.client].handler.cancel()

    @property
    def slowed(self) -> list[int]:
        """How many bytes each slowed transfer under way has passed on. The bystander's pages are not slowed."""
        return [live.size for live in self.proxy.shaping.live if live.verdict and live.verdict.shaped]

    def bounded(self, bound: str) -> float:
        return self.proxy.metrics.registry.get_sample_value("shaper_bounds_total", {"bound": bound})

    def outcomes(self) -> list[str]:
        """Return how the transfers ended that are not the bystander's."""
        return [record.outcome for record in self.records if record.size != 20_000]

    async def settled(self) -> bool:
        shaping, admitting = self.proxy.shaping, self.proxy.admitting
        return await until(lambda: not (shaping.live or admitting.visitors or any(dataclasses.astuple(shaping.levels))))


async def pour(writer: asyncio.StreamWriter, data: bytes, most: int = MUCH) -> int:
    """Send `data` over and over until the peer closes or takes no more for a second; return how many bytes it took."""
    sent = 0
    with suppress(ConnectionError, TimeoutError):
        while sent < most and not writer.is_closing():
            writer.write(data)
            async with asyncio.timeout(1):
                await writer.drain()
            sent += len(data)
    return sent


async def closed(reader: asyncio.StreamReader, seconds: float = 5.0) -> bytes:
    """Return what still comes until the peer closes."""
    try:
        async with asyncio.timeout(seconds):
            return await reader.read(-1)
    except ConnectionError:
        return b""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole_lab(tmp_path_factory):
    home = tmp_path_factory.mktemp("robust")
    rough, domains = Rough(), ("media.test", "other.test")
    await rough.start(server_context([f"rough.{domain}" for domain in domains], ["h2", "http/1.1"], home))
    with Origin([f"{label}.{domain}" for label in ("both", "both2") for domain in domains]) as origin:
        (home / "origins.pem").write_bytes(origin.ca_pem.read_bytes() + (home / "ca.pem").read_bytes())
        ports = dict.fromkeys(("both", "both2"), (origin.plain_port, origin.port)) | {"rough": rough.ports}
        routes = [
            ConnectTo(f"{label}.{domain}", port, "127.0.0.1", to_port)
            for label, to_ports in ports.items()
            for domain in domains
            for port, to_port in zip((80, 443), to_ports, strict=True)
        ]
        routes.append(ConnectTo("rough.media.test", 8443, "127.0.0.1", rough.ports[0]))  # for TLS, and without it
        settings = Settings(ca_dir=home / "ca", connect_to=tuple(routes), origin_ca=home / "origins.pem")
        records = Records()
        proxy = Proxy(loads(POLICY, "lab.yaml"), settings, [records], Metrics())
        await proxy.start()
        lab = Lab(proxy, origin, rough, records)
        await lab.fetch(PAGE, host="both.media.test")  # what is made at first use is there from now on
        handlers = weakref.WeakSet()
        ctx.master.addons.add(Remembering(proxy, handlers))
        yield lab
        assert await until(lambda: gc.collect() >= 0 and not [*handlers]), "the memory of connections did not come back"
        await proxy.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def lab(whole_lab, caplog):
    """The lab, with nobody in it before and after. What was counted has one line in the log, and nothing has two."""
    lab = whole_lab
    assert await lab.settled()
    tasks, descriptors = asyncio.all_tasks(), _descriptors()
    bounded = {bound: lab.bounded(bound) for bound in Bound}
    SELDOM.forget()
    yield lab
    while lab.writers:
        lab.writers.pop().transport.abort()
    await lab.rough.stop()
    assert await lab.settled()
    own = asyncio.current_task()
    assert await until(lambda: not asyncio.all_tasks() - tasks - {own}), asyncio.all_tasks() - tasks - {own}
    assert await until(lambda: _descriptors() <= descriptors)
    lines = [each.getMessage() for each in caplog.get_records("call") if each.name.startswith("shaper")]
    reached = [each for each in Bound if lab.bounded(each) > bounded[each] and each is not Bound.IDLE]
    expected = sorted(f"a bound was reached (docs/robustness.md): {each}" for each in reached)
    assert sorted(line for line in lines if "a bound was reached" in line) == expected
    assert len(lines) == len(set(lines)), lines
    assert len(lines) <= 2, lines


@pytest_asyncio.fixture(loop_scope="module")
async def bystander(lab):
    """Somebody who reads pages of a target meanwhile, and gets each of them whole."""
    pages = []

    async def read() -> None:
        async with await lab.connect("h2", BYSTANDER) as session:
            while True:
                pages.append(await session.request(PAGE, timeout=10))
                await asyncio.sleep(0.01)

    task = asyncio.create_task(read())
    assert await until(lambda: pages)
    before = len(pages)
    yield pages
    assert await until(lambda: len(pages) > before + 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert {(page.outcome, page.sha256) for page in pages} == {(Outcome.COMPLETE, digest(Stream(20_000)))}


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))

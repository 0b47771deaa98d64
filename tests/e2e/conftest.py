"""A lab of real sockets: origins, the proxy between, and clients that hash what they get.

The proxy runs in the module's event loop, for mitmproxy has one global context a process. Names end in `.media.test`
(targeted) or `.other.test` (not); the first label says what the origin speaks: `h1`, `h2` or `both`.
"""

import asyncio
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import pytest
import pytest_asyncio
from mitmproxy import ctx
from mitmproxy.proxy import server_hooks

from shaper.lab.origin import Origin
from shaper.measure.fetched import Fetched
from shaper.measure.probe import connect, fetch
from shaper.measure.session import Session
from shaper.policy.load import loads
from shaper.policy.model import Policy
from shaper.proxy.server import ConnectTo, Proxy, Settings
from shaper.record.journal import Journal
from shaper.record.metrics import Metrics
from shaper.record.transfer import TransferRecord

SPOKEN = {"h1": ["http/1.1"], "h2": ["h2"], "both": ["h2", "http/1.1"]}
CANARY = "canary-4711"

POLICY = """
version: 1
study: e2e
targets: {media: {hosts: ["*.media.test", "media.test"]}}
rules:
  - {name: slow, target: media, media: [image, video], caps: [{rate: RATE, burst: 2 KiB}]}
"""


def policy(rate: str = "400 kbit/s", *, more: str = "", rules: str = "") -> Policy:
    """Return the lab's policy with another rate, further top-level keys, or rules before its own."""
    text = POLICY.replace("RATE", rate).replace("rules:\n", f"{more}\nrules:\n{rules}")
    return loads(text, "lab.yaml")


async def until(true, seconds: float = 5.0):
    """Wait until `true()`; return whether it came to pass."""
    end = monotonic() + seconds
    while not true() and monotonic() < end:  # noqa: ASYNC110, what is awaited has no event to await
        await asyncio.sleep(0.005)
    return true()


class Records(list[TransferRecord]):
    """A recorder that keeps what it is told."""

    def record(self, record: TransferRecord) -> None:
        self.append(record)


class Mixing:
    """Has each origin asked for the one protocol that it speaks, so that clients of the other one meet it.

    By itself the proxy asks an origin for what the client offers and answers the client with what it got: the two agree
    (`connection_strategy=eager`). They may differ once that connection is replaced, or with the lazy strategy.
    """

    def __init__(self, origins: dict[str, Origin]) -> None:
        self._offers = {origins[label].port: [SPOKEN[label][0].encode()] for label in ("h1", "h2")}

    def server_connect(self, data: server_hooks.ServerConnectionHookData) -> None:
        if data.server.address and data.server.address[1] in self._offers:
            data.server.alpn_offers = self._offers[data.server.address[1]]


@dataclass
class Lab:
    """One proxy and its surroundings."""

    proxy: Proxy
    origins: dict[str, Origin]
    journal: Path
    records: Records = field(default_factory=Records)

    def url(self, target: str, origin: str = "both", domain: str = "media.test", scheme: str = "https") -> str:
        mark = "&" if "?" in target else "?"
        return f"{scheme}://{origin}.{domain}{target}{mark}secret={CANARY}"

    async def fetch(
        self, target: str, protocol="h1", origin: str = "both", domain="media.test", scheme="https", **options
    ) -> Fetched:
        url = self.url(target, origin, domain, scheme)
        headers = [*options.pop("headers", ()), ("cookie", f"id={CANARY}")]
        ca = self.ca(domain)
        return await fetch(url, proxy=self.proxy.address, protocol=protocol, ca=ca, headers=headers, **options)

    async def connect(self, protocol="h1", origin="both", domain="media.test", scheme="https", **options) -> Session:
        url = f"{scheme}://{origin}.{domain}"
        return await connect(url, proxy=self.proxy.address, protocol=protocol, ca=self.ca(domain), **options)

    def ca(self, domain: str) -> Path | None:
        """What a client must trust to reach a host of `domain`: the proxy's CA, or the origin's."""
        return self.proxy.ca_pem if domain == "media.test" else self.proxy.settings.origin_ca

    @contextmanager
    def using(self, policy: Policy) -> Iterator[None]:
        """Put another policy in force for a while."""
        before = self.proxy.shaping.policy
        self.proxy.swap(policy)
        try:
            yield
        finally:
            self.proxy.swap(before)

    async def settled(self) -> bool:
        """Wait until no transfer is under way and nothing is held."""
        levels = self.proxy.shaping.levels
        return await until(lambda: not self.proxy.shaping.live and (levels.backlog, levels.gated) == (0, 0))


@pytest.fixture(scope="module")
def origins():
    """An origin for each manner of speech, all under the same names."""
    names = [f"{label}.{domain}" for label in SPOKEN for domain in ("media.test", "other.test")]
    with (
        Origin(names, protocols=SPOKEN["h1"], send_buffer=16 * 1024) as h1,
        Origin(names, protocols=SPOKEN["h2"], send_buffer=16 * 1024) as h2,
        Origin(names, protocols=SPOKEN["both"], send_buffer=16 * 1024) as both,
    ):
        yield {"h1": h1, "h2": h2, "both": both}


@asynccontextmanager
async def running(
    home: Path,
    routes: list[ConnectTo],
    authorities: list[Path],
    origins: dict[str, Origin],
    targeted: Policy | None = None,
):
    """Run a proxy between clients and these origins. At the end its journal is read: no line may tell who was where."""
    (home / "origins.pem").write_bytes(b"".join(path.read_bytes() for path in authorities))
    settings = Settings(ca_dir=home / "ca", connect_to=tuple(routes), origin_ca=home / "origins.pem")
    metrics, records = Metrics(), Records()
    journal = Journal(home / "journal.jsonl", metrics)
    proxy = Proxy(targeted or policy(), settings, [records, journal], metrics)
    await proxy.start()
    yield Lab(proxy, origins, home / "journal.jsonl", records)
    await proxy.stop()
    assert journal.close()
    written = (home / "journal.jsonl").read_text()
    assert len(written.splitlines()) == len(records)
    assert not [word for word in (CANARY, ".test", "127.0.0.1", "/bytes", "cookie") if word in written]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(origins, tmp_path_factory):
    """The proxy before the lab's own origins."""
    routes = [
        ConnectTo(f"{label}.{domain}", port, "127.0.0.1", getattr(origin, to_port))
        for label, origin in origins.items()
        for domain in ("media.test", "other.test")
        for port, to_port in ((443, "port"), (80, "plain_port"))
    ]
    authorities = [origin.ca_pem for origin in origins.values()]
    async with running(tmp_path_factory.mktemp("lab"), routes, authorities, origins) as lab:
        ctx.master.addons.add(Mixing(origins))
        yield lab


@pytest.fixture(autouse=True)
def accounts_are_in_order(request):
    """After each test: every record's waits sum to its duration, and nothing was passed that had not come."""
    yield
    if "lab" in request.fixturenames:
        for record in request.getfixturevalue("lab").records:
            assert sum(seconds for _, seconds in record.waits()) == pytest.approx(record.duration, abs=1e-9)
            assert min(seconds for _, seconds in record.waits()) >= 0
            assert record.size <= record.received

"""The proxy: mitmproxy's core with shaper's addons, started, reloaded and stopped as one thing."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mitmproxy.addons import core, disable_h2c, next_layer, proxyserver, tlsconfig
from mitmproxy.master import Master
from mitmproxy.options import Options
from mitmproxy.proxy import server_hooks

from shaper.policy.admission import Registry, Standing
from shaper.policy.judge import Judge
from shaper.policy.model import Policy
from shaper.policy.schedule import Schedule
from shaper.proxy import gate
from shaper.proxy.admitting import Admitting
from shaper.proxy.shaping import Shaping
from shaper.record.metrics import Metrics
from shaper.record.transfer import Outcome, Recorder

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ConnectTo:
    """Connections meant for `host:port` go to `address:to_port` instead, as with curl's option of that name."""

    host: str
    port: int
    address: str
    to_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a proxy is to run."""

    listen: tuple[str, int] = ("127.0.0.1", 0)
    ca_dir: Path
    connect_to: tuple[ConnectTo, ...] = ()
    origin_ca: Path | None = None


class Redirecting:
    """Sends connections elsewhere, as `ConnectTo` says. The name asked of the origin stays the same."""

    def __init__(self, routes: Sequence[ConnectTo]) -> None:
        self._routes = {(route.host.lower(), route.port): (route.address, route.to_port) for route in routes}

    def server_connect(self, data: server_hooks.ServerConnectionHookData) -> None:
        """Change where the socket goes and nothing else: mitmproxy matches connections for reuse by address."""
        assert data.server.address
        host, port = data.server.address[:2]
        if route := self._routes.get((host.lower(), port)):
            data.server.sni = data.server.sni or host
            data.server.address = route


class Proxy:
    """One proxy in the running event loop."""

    def __init__(
        self,
        policy: Policy,
        settings: Settings,
        recorders: Sequence[Recorder] = (),
        metrics: Metrics | None = None,
        *,
        registry: Registry | None = None,
        standing: Standing | None = None,
        schedule: Schedule | None = None,
        key: bytes = b"",
    ) -> None:
        self.metrics = metrics or Metrics()
        self.settings = settings
        self.shaping = Shaping(Judge(policy, key), self.metrics, recorders, schedule=schedule or Schedule(), key=key)
        self.admitting = Admitting(self.shaping, registry, standing or Standing())
        self.metrics.policy_loaded(policy)
        self.metrics.watch(backlog=lambda: self.shaping.levels.backlog, gated=lambda: self.shaping.levels.gated)
        self._master: Master | None = None
        self._running: asyncio.Task[None] | None = None
        self._server: proxyserver.Proxyserver | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Where the proxy listens."""
        assert self._server
        return self._server.listen_addrs()[0][:2]

    @property
    def ca_pem(self) -> Path:
        """The certificate for clients to trust."""
        return self.settings.ca_dir / "shaper-ca.pem"

    async def start(self) -> None:
        """Listen. Raises OSError when the address is taken."""
        gate.install()
        self.settings.ca_dir.mkdir(parents=True, exist_ok=True)
        master = Master(Options(), with_termlog=False)
        self._server = proxyserver.Proxyserver()
        chooser = next_layer.NextLayer()
        self.admitting.attach(chooser, self._server.connections)  # type: ignore[arg-type]
        master.addons.add(
            core.Core(), disable_h2c.DisableH2C(), Redirecting(self.settings.connect_to), self._server,
            self.admitting, chooser, tlsconfig.TlsConfig(),
        )  # fmt: skip
        master.options.update(
            listen_host=self.settings.listen[0],
            listen_port=self.settings.listen[1],
            confdir=str(self.settings.ca_dir),
            ssl_verify_upstream_trusted_ca=str(self.settings.origin_ca) if self.settings.origin_ca else None,
            connection_strategy="eager",
            tcp_timeout=24 * 3600,
        )
        self._master = master
        self._running = asyncio.create_task(master.run(), name="mitmproxy")
        while not self._server.servers or not all(s.is_running for s in self._server.servers):
            if self._running.done():
                self._running.result()
            for each in self._server.servers:
                if each.last_exception:
                    raise each.last_exception
            await asyncio.sleep(0.005)

    def swap(self, policy: Policy) -> None:
        """Put another policy in force; transfers under way keep their verdict."""
        self.shaping.swap(policy)

    async def stop(self, drain: float = 0.0) -> None:
        """Accept no more, let transfers finish for at most `drain` seconds, then end."""
        assert self._master
        assert self._server
        self._master.options.update(server=False)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(drain):
                await self.shaping.idle.wait()
        for transfer in list(self.shaping.live):
            self.shaping.finish(transfer, Outcome.SHUTDOWN)
        self._master.shutdown()
        if self._running:
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
        self.shaping.close()

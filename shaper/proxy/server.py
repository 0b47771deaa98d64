"""The proxy: mitmproxy's core with shaper's addons, started, reloaded and stopped as one thing.

mitmproxy keeps its options and its master in one global context, so a process runs one proxy at a time.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

from mitmproxy.addons import core, disable_h2c, next_layer, proxyserver
from mitmproxy.master import Master
from mitmproxy.options import Options

from shaper.policy.admission import Registry, Standing
from shaper.policy.destination import Destinations
from shaper.policy.exposure import refuse_open_proxy
from shaper.policy.judge import Judge
from shaper.policy.model import Policy
from shaper.policy.refused import RefusedError
from shaper.policy.schedule import Schedule
from shaper.policy.verdict import Reason
from shaper.proxy import discretion, gate, proxy_protocol, trailers
from shaper.proxy.admitting import Admitting
from shaper.proxy.authenticating import Authenticating
from shaper.proxy.authority import Authority, ensure
from shaper.proxy.connecting import Connecting, ConnectTo
from shaper.proxy.crowd import Room
from shaper.proxy.leaf import StudyTls
from shaper.proxy.shaping import Shaping
from shaper.proxy.site import CHECK, Introducing, Site
from shaper.record.metrics import Metrics
from shaper.record.transfer import Outcome, Recorder

LOOKUPS = 100
"""Names that can be looked up at once. asyncio has six threads for that on a machine with two processors, and a name
whose servers do not answer keeps one for half a minute."""

__all__ = ["ConnectTo", "Proxy", "Settings", "Site"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a proxy is to run. `site` is where the study's own pages are, reached as http://shaper.lab/."""

    listen: tuple[str, int] = ("127.0.0.1", 0)
    ca_dir: Path
    ca_days: int = 90  # how long a CA that is made now is good for
    connect_to: tuple[ConnectTo, ...] = ()
    origin_ca: Path | None = None
    require_auth: bool = False
    destinations: Destinations | None = None  # None: anywhere, for labs that are closed by other means
    site: Site | None = None
    proxy_protocol_from: tuple[str, ...] = ()  # networks of load balancers, which say whose connection it is
    congestion: str | None = None  # TCP congestion control towards clients; None: the machine's default
    room: Room | None = None  # for connections; None: what the process has file descriptors for


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
        shadows: Sequence[Policy] = (),
        key: bytes = b"",
    ) -> None:
        """Prepare; raise RefusedError for an open proxy or a CA that does not fit the policy."""
        refuse_open_proxy(settings.listen[0], require_auth=settings.require_auth and registry is not None)
        self.metrics = metrics or Metrics()
        self.settings = settings
        self.authority = self._authority_for(policy)
        self.shaping = Shaping(Judge(policy, key), self.metrics, recorders, schedule=schedule or Schedule(), key=key)
        self.shaping.enforce(policy)
        stranger = Standing(exempt=Reason.NO_CONSENT) if registry else Standing()
        self.admitting = Admitting(self.shaping, registry, standing or stranger, settings.room)
        self.admitting.authority, self.admitting.has_other_ca = self.authority, False
        self.admitting.congestion = settings.congestion
        self.shaping.shadows = [Judge(shadow, key) for shadow in shadows]
        self.metrics.policy_loaded(policy, shadows)
        self.metrics.before_scrape(self.shaping.tell_state)
        self._registry = registry
        self._master: Master | None = None
        self._running: asyncio.Task[None] | None = None
        self._server = proxyserver.Proxyserver()

    @property
    def address(self) -> tuple[str, int]:
        """Where the proxy listens."""
        host, port, *_ = self._server.listen_addrs()[0]
        return host, port

    @property
    def ca_pem(self) -> Path | None:
        """The certificate for clients to trust; None when the policy intercepts nothing."""
        return self.authority.pem if self.authority else None

    async def start(self) -> None:
        """Listen. Raises RefusedError when the address cannot be had."""
        discretion.install()
        gate.install()
        trailers.install()
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(LOOKUPS, "names"))
        logging.getLogger(proxyserver.__name__).setLevel(logging.CRITICAL)  # we say ourselves why we cannot listen
        proxy_protocol.install([ip_network(each) for each in self.settings.proxy_protocol_from])
        settings, master = self.settings, Master(Options(), with_termlog=False)
        chooser = next_layer.NextLayer()
        self.admitting.attach(chooser, self._server.connections)
        routes = settings.connect_to
        if settings.site:
            routes = (*routes, *settings.site.routes)
        addons = [
            core.Core(), disable_h2c.DisableH2C(), Connecting(routes, settings.destinations, self.metrics),
            self._server, self.admitting, chooser,
        ]  # fmt: skip
        if self._registry:
            visitors, required, site = self.admitting.visitors, settings.require_auth, settings.site is not None
            addons.insert(2, Authenticating(self._registry, visitors, self.metrics, required=required, site=site))
        if settings.site:
            addons.append(Introducing(settings.site, self.admitting.visitors))
        if self.authority:
            addons.append(StudyTls(self.authority))
        master.addons.add(*addons)
        master.options.update(
            listen_host=settings.listen[0],
            listen_port=settings.listen[1],
            ssl_verify_upstream_trusted_ca=str(settings.origin_ca) if settings.origin_ca else None,
            tcp_timeout=24 * 3600,  # mitmproxy's ten minutes would cut a frozen transfer
            websocket=False,  # relayed as bytes; mitmproxy would keep every message while the connection lasts
        )
        self._master = master
        self._running = asyncio.create_task(master.run(), name="mitmproxy")
        while not (instances := list(self._server.servers)) or not all(each.is_running for each in instances):
            if error := next((each.last_exception for each in instances if each.last_exception), None):
                place = f"{settings.listen[0]}:{settings.listen[1]}"
                remedy = "name another address with --listen, or stop what listens there"
                reason = os.strerror(errno) if (errno := getattr(error, "errno", None)) else error
                raise RefusedError(f"{place}: the proxy cannot listen here: {reason}", remedy)
            await asyncio.sleep(0.005)

    def trusts(self, client: str) -> None:
        """Note, from any thread, that a client trusts the CA now: what it refused before is no longer left alone."""
        if self._running:
            self._running.get_loop().call_soon_threadsafe(self.admitting.pinned.forget, client)

    def swap(self, policy: Policy) -> None:
        """Put another policy in force; transfers under way keep their verdict. One refused changes nothing."""
        authority = self._authority_for(policy)
        if authority and (self.authority is None or authority.fingerprint != self.authority.fingerprint):
            raise RefusedError("the new policy needs a CA that the running proxy does not have", "start the proxy anew")
        self.admitting.authority = self.authority = authority or self.authority
        self.shaping.swap(policy)

    def _authority_for(self, policy: Policy) -> Authority | None:
        return authority_for(policy, self.settings, *([CHECK] if self.settings.site else []))

    async def stop(self, drain: float = 0.0) -> None:
        """Accept no more, let transfers finish for at most `drain` seconds, then end."""
        if self._master is None or self._running is None:
            return
        self._master.options.update(server=False)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(drain):
                await self.shaping.idle.wait()
        for transfer in list(self.shaping.live):
            self.shaping.finish(transfer, Outcome.SHUTDOWN)
        self._master.shutdown()
        await self._running
        self.shaping.close()


def authority_for(policy: Policy, settings: Settings, *beside: str) -> Authority | None:
    """Return the CA for what the policy intercepts, and for hosts `beside`; None when it can intercept nothing."""
    hosts = [host for host in policy.intercepted if isinstance(host, str)]
    if not hosts:
        return None
    return ensure(settings.ca_dir, [*hosts, *beside], policy.study, settings.ca_days)

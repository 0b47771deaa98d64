"""How an experiment's clients and proxies reach the hosts that it names, and whom they trust."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from ssl import get_server_certificate

import certifi

from shaper.cli.browse import public_key_hash, shown_key
from shaper.cli.proxy_process import ProxyProcess
from shaper.lab.origin import Origin
from shaper.measure.plan import Object


@dataclass(frozen=True, slots=True)
class Ways:
    """With an `origin` that is who answers under all names; without one the hosts themselves do."""

    hosts: tuple[str, ...]
    origin: Origin | None

    def proxy_arguments(self) -> list[str]:
        """Return what tells a proxy where the hosts are."""
        if self.origin is None:
            return []
        routes = [f"--connect-to={host}:{port}:127.0.0.1:{to}" for host in self.hosts for port, to in self._ports()]
        return [*routes, f"--origin-ca={self.origin.ca_pem}"]

    def browser_addresses(self) -> dict[str, str]:
        """Return where a browser without a proxy finds the hosts, port by port."""
        return {f"{host}:{port}": f"127.0.0.1:{to}" for host in self.hosts for port, to in self._ports()}

    def address(self, what: Object) -> tuple[str, int] | None:
        """Return where a client without a proxy connects instead of asking for the name's address."""
        port = dict(self._ports()).get(443 if what.url.startswith("https:") else 80)
        return ("127.0.0.1", port) if port else None

    def trusted(self, proxy: ProxyProcess | None) -> Path:
        """Return a file with what a client has to trust: the hosts' authorities, and the proxy's."""
        behind = self.origin.ca_pem if self.origin else Path(certifi.where())
        if proxy is None or proxy.ca_pem is None:
            return behind
        bundle = proxy.ca_pem.parent / "trusted.pem"
        if not bundle.exists():
            bundle.write_bytes(behind.read_bytes() + proxy.ca_pem.read_bytes())
        return bundle

    async def keys(self, proxies: Iterable[ProxyProcess]) -> set[str]:
        """Return the keys that a browser has to trust besides its own authorities: the origin's, and each proxy's."""
        shown = {await shown_key(host, proxy.address, self.trusted(proxy)) for proxy in proxies for host in self.hosts}
        if self.origin:
            shown.add(public_key_hash(get_server_certificate(("127.0.0.1", self.origin.port))))
        return shown

    def _ports(self) -> list[tuple[int, int]]:
        return [(443, self.origin.port), (80, self.origin.plain_port)] if self.origin else []

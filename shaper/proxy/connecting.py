"""The addon that guards and redirects connections to origins.

Where a socket goes may differ from whom it is for: mitmproxy reuses connections by the address asked for, so that is
put back once the socket is there.
"""

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from mitmproxy.connection import Server
from mitmproxy.proxy import server_hooks

from shaper.policy.destination import Destinations, Refusal
from shaper.policy.host import canonical
from shaper.record.metrics import Metrics


@dataclass(frozen=True, slots=True)
class ConnectTo:
    """Connections meant for `host:port` go to `address:to_port` instead, as with curl's option of that name."""

    host: str
    port: int
    address: str
    to_port: int


class Connecting:
    """Applies routes; to everything else, the rules of what may be connected to.

    A name is resolved once, judged by its addresses, and connected to at one of them: it has no second chance to
    resolve to something else (DNS rebinding).
    """

    def __init__(self, routes: Sequence[ConnectTo], destinations: Destinations | None, metrics: Metrics) -> None:
        self._routes = {(canonical(route.host), route.port): (route.address, route.to_port) for route in routes}
        self._destinations = destinations
        self._metrics = metrics
        self._asked: dict[Server, tuple[str, int]] = {}

    async def server_connect(self, data: server_hooks.ServerConnectionHookData) -> None:
        """Send the socket to where it may go, or nowhere."""
        server = data.server
        if server.address is None or server.error:
            return
        host, port = server.address[:2]
        goes_to = self._routes.get((canonical(host), port))
        if goes_to is None and self._destinations:
            addresses = await _resolve(host, port)
            refusal = self._destinations.refusal(host, addresses, port)
            if refusal is None:
                goes_to = (addresses[0], port)
            elif refusal is not Refusal.UNRESOLVED:  # connecting fails by itself then, and says why
                self._metrics.destination_refused(refusal)
                server.error = f"this proxy does not connect there ({refusal})"
        if goes_to:
            self._asked[server] = (host, port)
            server.address = goes_to

    def server_connected(self, data: server_hooks.ServerConnectionHookData) -> None:
        """Put the address asked for back."""
        if asked := self._asked.pop(data.server, None):
            object.__setattr__(data.server, "address", asked)  # mitmproxy guards against changing it in earnest

    def server_connect_error(self, data: server_hooks.ServerConnectionHookData) -> None:
        """Put it back after a failure too."""
        self.server_connected(data)


async def _resolve(host: str, port: int) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [str(address[0]) for *_, address in found]

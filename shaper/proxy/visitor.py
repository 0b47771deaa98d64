"""One client connection: whose it is, and what the proxy must remember of it while it lasts. No address leaves it."""

from dataclasses import dataclass

from mitmproxy.connection import Client
from mitmproxy.proxy.server import ConnectionHandler

from shaper.policy.admission import Registry, Standing


@dataclass(slots=True)
class Visitor:
    """`key` tells whose connections are one client's: the credentials' owner, else the peer's address, in memory."""

    client: Client
    handler: ConnectionHandler
    key: str
    anonymous: Standing
    registry: Registry | None = None
    authenticated: bool = False

    @property
    def standing(self) -> Standing:
        """The client's part in the study, as of now."""
        if self.registry and self.authenticated:
            return self.registry.standing(self.key)
        return self.anonymous

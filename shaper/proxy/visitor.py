"""One client connection: whose it is, and what the proxy must remember of it while it lasts. No address leaves it."""

from dataclasses import dataclass, field
from typing import Protocol

from mitmproxy.connection import Client
from mitmproxy.proxy.server import ConnectionHandler

from shaper.policy.admission import Registry, Standing
from shaper.policy.verdict import Reason

STRANGER = Standing(exempt=Reason.NO_CONSENT)


class Leavable(Protocol):
    """What has to end with its client's connection, however that ends."""

    def leave(self) -> None:
        """Free everything that is still held."""


@dataclass(slots=True)
class Visitor:
    """`key` tells whose connections are one client's: the credentials' owner, else the peer's address, in memory."""

    client: Client
    handler: ConnectionHandler
    key: str
    anonymous: Standing
    registry: Registry | None = None
    authenticated: bool = False
    layers: list[Leavable] = field(default_factory=list)

    @property
    def standing(self) -> Standing:
        """The client's part in the study, as of now. Where volunteers are known, a stranger takes no part."""
        if self.registry is None:
            return self.anonymous
        return self.registry.standing(self.key) if self.authenticated else STRANGER

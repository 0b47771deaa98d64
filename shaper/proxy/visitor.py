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

    @property
    def is_busy(self) -> bool:
        """Whether anything is under way."""

    def leave(self) -> None:
        """Free everything that is still held: the client is gone."""

    def free(self, reason: Reason) -> None:
        """Let everything under way pass, unshaped and unrecorded: the client is there, and takes no part any more."""


@dataclass(slots=True)
class Visitor:
    """`key` tells whose connections are one client's: the credentials' owner, else the peer's address, in memory.

    `quiet_since` is when something was last asked or under way, on the monotonic clock.
    """

    client: Client
    handler: ConnectionHandler
    key: str
    anonymous: Standing
    registry: Registry | None = None
    authenticated: bool = False
    quiet_since: float = 0.0
    has_asked: bool = False
    is_doubted: bool = False  # it is not known yet what the connection is for
    is_opaque: bool = False  # an unshaped tunnel, which no layer of ours follows
    layers: list[Leavable] = field(default_factory=list)

    @property
    def is_busy(self) -> bool:
        """Whether anything is under way: a tunnel, an exchange, or a connection being made to an origin."""
        connecting = any(io.writer is None for io in self.handler.transports.values())
        return self.is_opaque or connecting or bool(self.layers and self.layers[-1].is_busy)

    def hang_up(self, why: str) -> None:
        """Close the connection."""
        io = self.handler.transports.get(self.client)
        if io and io.handler:
            io.handler.cancel(why)

    @property
    def exempt(self) -> Reason | None:
        """Why the client is to be left alone now, if it is. Asking does not count as being here."""
        if self.registry is None:
            return self.anonymous.exempt
        return self.registry.exempt(self.key) if self.authenticated else STRANGER.exempt

    @property
    def standing(self) -> Standing:
        """The client's part in the study, as of now. Where volunteers are known, a stranger takes no part."""
        if self.registry is None:
            return self.anonymous
        return self.registry.standing(self.key) if self.authenticated else STRANGER

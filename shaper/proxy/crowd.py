"""The addon that keeps the number of connections bounded, and ends those on which nothing goes on.

Bytes that trickle in do not count as something: a client must ask within `SILENT` seconds of connecting, and between
two requests it may be idle for `IDLE`. Whatever is under way may take its time, a frozen transfer or a quiet tunnel
too; of peers that are gone without a word the kernel tells.
"""

import asyncio
import contextlib
import resource
import socket
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mitmproxy.connection import Client, Connection
from mitmproxy.proxy import events, layer, server_hooks
from mitmproxy.proxy.server import ConnectionHandler

from shaper.proxy.bounds import linger
from shaper.proxy.clock import monotonic
from shaper.proxy.shaping import Shaping
from shaper.proxy.ticker import Alarm
from shaper.proxy.visitor import Visitor
from shaper.record.bound import Bound

SILENT, IDLE = 60.0, 600.0
"""Seconds. Browsers close unused connections after 300; mitmproxy's own limit for any silence is 600."""

LOOK_EVERY = 5.0


@dataclass(frozen=True, slots=True)
class Room:
    """How many connections fit: clients' in all, one client's, to origins for one client connection and in all."""

    clients: int = 10_000
    client: int = 2_500
    origins_each: int = 256
    origins: int = 20_000

    @classmethod
    def of_this_process(cls) -> "Room":
        """Return what the limit on file descriptors has room for, once that is raised as far as we may."""
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        clients, origins = min(cls().clients, most // 3), min(cls().origins, most // 2)
        return cls(clients, min(cls().client, clients // 2), cls().origins_each, origins)


class Crowd:
    """All connections that there are. `handlers` is the proxyserver addon's table of live connections."""

    def __init__(self, shaping: Shaping, visitors: Mapping[str, Visitor], room: Room | None = None) -> None:
        self.room = room or Room.of_this_process()
        self._shaping = shaping
        self._visitors = visitors
        self._handlers: Mapping[Any, ConnectionHandler] = {}
        self._addresses: dict[str, str] = {}  # of clients, by connection
        self._clients: Counter[str] = Counter()  # connections, by address
        self._origins = 0
        self._alarm: Alarm | None = None

    def attach(self, handlers: Mapping[Any, ConnectionHandler]) -> None:
        """Take mitmproxy's table of connections."""
        self._handlers = handlers

    def client_connected(self, client: Client) -> None:
        """Let the client in, or close its connection at once."""
        address = str(client.peername[0])
        if len(self._addresses) >= self.room.clients:
            client.error = self._reached(Bound.CONNECTIONS)
        elif self._clients[address] >= self.room.client:
            client.error = self._reached(Bound.CLIENT)
        else:
            self._addresses[client.id] = address
            self._clients[address] += 1
            self._look_again()
            if handler := self._handlers.get(client.id):
                _keep_alive(handler, client)
                _close_surely(handler)

    def client_disconnected(self, client: Client) -> None:
        """Count it out."""
        if address := self._addresses.pop(client.id, None):
            self._clients[address] -= 1
            if not self._clients[address]:
                del self._clients[address]
        if handler := self._handlers.get(client.id):
            handler.layer = _Deaf(handler.layer.context)

    def server_connect(self, data: server_hooks.ServerConnectionHookData) -> None:
        """Make no more connections than there is room for."""
        handler = self._handlers.get(data.client.id)
        already = len(handler.transports.keys() - {data.client, data.server}) if handler else 0
        if not data.server.error and (already >= self.room.origins_each or self._origins >= self.room.origins):
            data.server.error = self._reached(Bound.ORIGINS)

    def server_connected(self, data: server_hooks.ServerConnectionHookData) -> None:
        """Count it in."""
        self._origins += 1
        if handler := self._handlers.get(data.client.id):
            _keep_alive(handler, data.server)

    def server_disconnected(self, _: server_hooks.ServerConnectionHookData) -> None:
        """Count it out."""
        self._origins -= 1

    def _look_again(self) -> None:
        if self._alarm is None:
            self._alarm = self._shaping.ticker.call_at(monotonic() + LOOK_EVERY, self._look)

    def _look(self, now: float) -> None:
        """End what has been quiet for too long; look again while anybody is there."""
        self._alarm = None
        for visitor in list(self._visitors.values()):
            if visitor.is_busy:
                visitor.quiet_since = now
            elif now - visitor.quiet_since > (IDLE if visitor.has_asked else SILENT):
                visitor.quiet_since = now  # once is enough
                visitor.hang_up(self._reached(Bound.IDLE if visitor.has_asked else Bound.SILENT))
        if self._addresses:
            self._look_again()
        else:
            self._shaping.when_alone()

    def _reached(self, bound: Bound) -> str:
        self._shaping.metrics.bounded(bound)
        return f"the bound on connections was reached: {bound}"


def _close_surely(handler: ConnectionHandler) -> None:
    """Have every socket closed in the end.

    mitmproxy leaves one open when its task is cancelled while it waits for its turn, and one whose peer takes nothing
    any more stays until all is sent.
    """
    handle = handler.handle_connection

    async def handle_connection(connection: Connection) -> None:
        writer = handler.transports[connection].writer
        try:
            await handle(connection)
        finally:
            handler.transports.pop(connection, None)
            if isinstance(writer, asyncio.StreamWriter):
                writer.close()
                linger(writer.transport)

    handler.handle_connection = handle_connection  # type: ignore[method-assign]


class _Deaf(layer.Layer):
    """Instead of layers whose client is gone: they would open connections to origins, which nobody would close.

    Events that already wait for their turn come here too.
    """

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:  # noqa: ARG002
        yield from ()


def _keep_alive(handler: ConnectionHandler, connection: Connection) -> None:
    """Have the kernel find out that a peer is gone: after 10 minutes of silence and 10 more of unanswered probes."""
    io = handler.transports.get(connection)
    if io and isinstance(io.writer, asyncio.StreamWriter):
        sock = io.writer.get_extra_info("socket")
        with contextlib.suppress(OSError, AttributeError):  # the peer is gone already, or the system has other names
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 600)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 66)

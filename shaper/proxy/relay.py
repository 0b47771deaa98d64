"""A tunnel that leaves the layers: bytes go from socket to socket, neither decrypted nor slowed.

Through the layers a chunk takes two tasks, a lock and five layers. Here the two transports get protocols of their own
as soon as nothing is left on the old way, so bytes keep their order; mitmproxy's protocols are told the end only.
Where that cannot be done, the layers go on relaying.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import cast

from mitmproxy.connection import ConnectionState
from mitmproxy.proxy import events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.tcp import TCPLayer
from mitmproxy.proxy.layers.tls import TLSLayer
from mitmproxy.proxy.server import ConnectionHandler, ConnectionIO

from shaper.policy.model import Direction
from shaper.proxy.bounds import linger
from shaper.proxy.gate import GatedReader

type Count = Callable[[Direction, int], None]

AGAIN = 0.001
"""Seconds until another look whether the old way is empty; nothing is read meanwhile."""


class Relay(TCPLayer):
    """Opens the origin and closes both sides as TCPLayer does. `count` is told what went each way."""

    def __init__(self, context: Context, handler: ConnectionHandler, count: Count) -> None:
        super().__init__(context, ignore=True)
        self._handler = handler
        self._count = count

    def start(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Open the origin. What the layers hold for it goes out before the loop comes to `_leave`."""
        yield from super().start(event)
        asyncio.get_running_loop().call_soon(self._leave)

    _handle_event = start

    def relay_messages(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Relay as TCPLayer does, and count."""
        if isinstance(event, events.DataReceived):
            self._count(Direction.UP if event.connection is self.context.client else Direction.DOWN, len(event.data))
        yield from super().relay_messages(event)

    def _leave(self) -> None:
        """Take both sockets out of the layers, once all that came before has been sent."""
        ends = self.context.client, self.context.server
        ios = [self._handler.transports.get(end) for end in ends]
        sides = [Side(io, self._handler, self._count) for io in ios if io and _is_plain(io)]
        if (
            len(sides) < 2
            or self._handle_event != self.relay_messages
            or any(end.state is not ConnectionState.OPEN for end in ends)
            or any(isinstance(each, TLSLayer) for each in self.context.layers)
            or self.context.server.via
        ):
            for side in sides:
                side.transport.resume_reading()
        elif any(side.is_busy for side in sides):
            for side in sides:
                side.transport.pause_reading()
            asyncio.get_running_loop().call_later(AGAIN, self._leave)
        else:
            client, server = sides
            client.meet(server, Direction.UP)
            server.meet(client, Direction.DOWN)


class Side(asyncio.Protocol):
    """One socket of a relay: what it receives goes to the other, which slows it down when it takes no more."""

    def __init__(self, io: ConnectionIO, handler: ConnectionHandler, count: Count) -> None:
        self._reader = cast("GatedReader", io.reader)
        self.transport = cast("asyncio.Transport", cast("asyncio.StreamWriter", io.writer).transport)
        self.ended = False
        self._alive: Callable[[], None] = handler.timeout_watchdog.register_activity
        self._count = count
        self._received = 0

    @property
    def is_busy(self) -> bool:
        """Whether the layers still have to take what was read, or the socket what they sent."""
        return self._reader.has_data or self.transport.get_write_buffer_size() > 0

    def meet(self, other: "Side", direction: Direction) -> None:
        """Send what comes from here to `other` from now on."""
        self._other, self._direction = other, direction
        self._layers = cast("asyncio.Protocol", self.transport.get_protocol())
        self.transport.set_protocol(self)
        with contextlib.suppress(OSError, AttributeError):  # the peer is gone, or this system knows no such option
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 0)  # 0: the system's own
        self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        self._received += len(data)
        self._alive()
        self._other.transport.write(data)

    def pause_writing(self) -> None:
        """Hold the other socket: this one takes no more."""
        if not self._other.ended:
            self._other.transport.pause_reading()

    def resume_writing(self) -> None:
        """Let it go on."""
        if not self._other.ended:
            self._other.transport.resume_reading()

    def eof_received(self) -> bool:
        """Pass on that nothing more comes; the other direction may go on. The layers close what is ended both ways."""
        if not self.ended:
            self.ended = True
            if self._other.ended:
                for side in (self, self._other):
                    side._layers.eof_received()
            elif not self._other.transport.is_closing():
                self._other.transport.write_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the other side after what it was sent, and tell the layers."""
        self.ended = True
        self._count(self._direction, self._received)
        self._other.transport.close()
        linger(self._other.transport)
        self._layers.connection_lost(exc)


def _is_plain(io: ConnectionIO) -> bool:
    return isinstance(io.reader, GatedReader) and isinstance(io.writer, asyncio.StreamWriter)

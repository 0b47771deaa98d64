"""The short way from a layer to its socket, past the layers between.

A wakeup through all layers costs about 200 microseconds, a write through the lane about 40: the connection's own
framing object makes the frames, its own TLS object encrypts them, its own transport sends them, so that bytes sent
through the layers and bytes sent through the lane keep their order. A lane exists only once every TLS layer is open.
"""

import asyncio

from mitmproxy.connection import Connection
from mitmproxy.proxy import commands, layer
from mitmproxy.proxy.layers.http import HttpEvent
from mitmproxy.proxy.layers.tls import TLSLayer
from mitmproxy.proxy.server import ConnectionHandler
from mitmproxy.proxy.tunnel import TunnelState
from OpenSSL import SSL

FULL = 65_536
"""Unsent bytes in a transport's buffer beyond which its peer counts as not taking any."""


class Lane:
    """Towards one connection of one handler. `layers` is the context's stack, outermost first."""

    __slots__ = ("_tls", "writer")

    def __init__(self, writer: asyncio.StreamWriter, tls: list[SSL.Connection]) -> None:
        self.writer = writer
        self._tls = tls

    @classmethod
    def to(cls, connection: Connection, layers: list[layer.Layer], handler: ConnectionHandler) -> "Lane | None":
        """Return the lane to `connection`, or None when there is none: not open, or not over TCP."""
        io = handler.transports.get(connection)
        if io is None or not isinstance(io.writer, asyncio.StreamWriter):
            return None
        tls = [each for each in layers if isinstance(each, TLSLayer) and each.conn is connection]
        if any(each.tunnel_state is not TunnelState.OPEN for each in tls):
            return None
        return cls(io.writer, [each.tls for each in reversed(tls)])  # innermost first

    @property
    def is_full(self) -> bool:
        """Whether the peer has stopped taking bytes."""
        return self.writer.transport.get_write_buffer_size() > FULL

    def write(self, data: bytes) -> None:
        """Encrypt and send. Errors are left to whoever reads the connection: they see them too."""
        if self.writer.is_closing():
            return
        for tls in self._tls:
            try:
                tls.sendall(data)
            except SSL.Error:
                return
            data = _drain(tls)
        self.writer.write(data)


def _drain(tls: SSL.Connection) -> bytes:
    """Take all that the TLS object wants sent."""
    parts = []
    while True:
        try:
            parts.append(tls.bio_read(65_535))
        except SSL.WantReadError:
            return parts[0] if len(parts) == 1 else b"".join(parts)


def frames(framer: layer.Layer, event: HttpEvent) -> bytes:
    """Return what the connection's framing layer would send for a message's event."""
    return b"".join(cmd.data for cmd in framer.handle_event(event) if isinstance(cmd, commands.SendData))

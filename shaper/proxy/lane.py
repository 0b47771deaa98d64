"""The short way from a layer to its socket, past the layers between.

A wakeup through all layers costs about 200 microseconds, a write through the lane about 40: frames are made as the
connection's framing layer makes them (HTTP/2 by its own state machine), its own TLS object encrypts them, its own
transport sends them, so that bytes sent through the layers and bytes sent through the lane keep their order. A lane
exists only once every TLS layer is open.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable

from mitmproxy import http
from mitmproxy.connection import Connection, ConnectionState
from mitmproxy.proxy import layer
from mitmproxy.proxy.layers.http import Http2Client
from mitmproxy.proxy.layers.http._http2 import Http2Connection
from mitmproxy.proxy.layers.tls import TLSLayer
from mitmproxy.proxy.server import ConnectionHandler
from mitmproxy.proxy.tunnel import TunnelState
from OpenSSL import SSL

from shaper.proxy.encrypting import encrypt
from shaper.proxy.ticker import Ticker

FULL = 65_536
"""Unsent bytes in a transport's buffer beyond which its peer counts as not taking any."""

SHORT = 16_384
"""Bytes beyond what it may send that the kernel takes for a client."""


class Lane:
    """Towards one connection of one handler. `layers` is the context's stack, outermost first."""

    __slots__ = ("_tls", "transport", "writer")

    def __init__(self, writer: asyncio.StreamWriter, tls: list[SSL.Connection]) -> None:
        self.writer = writer
        self.transport = writer.transport
        self._tls = tls

    @classmethod
    def to(cls, connection: Connection, layers: list[layer.Layer], handler: ConnectionHandler) -> "Lane | None":
        """Return the lane to `connection`, or None when there is none: not open, or not over TCP."""
        writer = _writer(connection, handler)
        if writer is None:
            return None
        tls = [each for each in layers if isinstance(each, TLSLayer) and each.conn is connection]
        if any(each.tunnel_state is not TunnelState.OPEN for each in tls):
            return None
        return cls(writer, [each.tls for each in reversed(tls)])  # innermost first

    def is_full(self, most: int = FULL) -> bool:
        """Whether the peer has stopped taking bytes."""
        return self.transport.get_write_buffer_size() > most

    def spare_others(self) -> None:
        """Have mitmproxy not wait for this peer. While it waits, it reads from none of the client's connections."""
        self.transport.set_write_buffer_limits(high=2**24)  # out of reach: the channel itself waits at FULL

    def write(self, data: bytes) -> None:
        """Encrypt and send. Errors are left to whoever reads the connection: they see them too."""
        if not data or self.transport.is_closing():
            return
        for tls in self._tls:
            try:
                data = encrypt(tls, data)
            except SSL.Error:
                return
        self.transport.write(data)


def is_there(connection: Connection, handler: ConnectionHandler) -> bool:
    """Whether what is sent to a connection can still go anywhere.

    Its state alone does not tell: mitmproxy leaves it half closed when it lets go of a peer that ended its side.
    """
    return connection in handler.transports and bool(connection.state & ConnectionState.CAN_WRITE)


def _writer(connection: Connection, handler: ConnectionHandler) -> asyncio.StreamWriter | None:
    """Return what writes to a connection, or None when it is not open, or not over TCP."""
    io = handler.transports.get(connection)
    return io.writer if io and isinstance(io.writer, asyncio.StreamWriter) else None


def _socket(connection: Connection, handler: ConnectionHandler) -> socket.socket:
    """Return an open connection's socket, or raise OSError."""
    writer = _writer(connection, handler)
    if writer is None:
        raise OSError("no open TCP connection")
    sock: socket.socket = writer.get_extra_info("socket")
    return sock


def keep_short(connection: Connection, handler: ConnectionHandler) -> None:
    """Have the kernel take little more than it may send: it would take megabytes for a client that reads nothing."""
    with contextlib.suppress(OSError, AttributeError):  # the client is gone, or this system knows no such option
        _socket(connection, handler).setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, SHORT)


def cork(connection: Connection, handler: ConnectionHandler) -> None:
    """Have the kernel keep what is sent until the event loop has done what it is at, and send it as one then.

    A response's headers would be half a millisecond ahead of the bytes that came with them.
    """
    with contextlib.suppress(OSError, AttributeError):
        sock = _socket(connection, handler)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        asyncio.get_running_loop().call_soon(_uncork, sock)


def _uncork(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)


def reset_on_close(connection: Connection, handler: ConnectionHandler) -> None:
    """Have the kernel end the connection with a reset (RST) instead of a farewell (FIN), as devices that block do."""
    with contextlib.suppress(OSError, AttributeError):
        lingering = struct.pack("ii", 1, 0)  # on, for no time
        _socket(connection, handler).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, lingering)


def sending(
    lane: Lane, framer: layer.Layer, stream_id: int, message: http.Message, ticker: Ticker
) -> Callable[[bytes], None]:
    """Return what sends bytes of a message's body, framed as its connection's framing layer would.

    What several streams of one HTTP/2 connection send on one tick goes out as one write.
    """
    if isinstance(framer, Http2Connection):
        connection = framer.h2_conn
        stream_id = framer.our_stream_id.get(stream_id, stream_id) if isinstance(framer, Http2Client) else stream_id

        def flush() -> None:
            lane.write(connection.data_to_send())

        def send(data: bytes) -> None:
            if framer.is_open_for_us(stream_id):
                connection.send_data(stream_id, data)
            ticker.together(connection, flush)

        return send
    if "chunked" in message.headers.get("transfer-encoding", "").lower():
        return lambda data: lane.write(b"%x\r\n%s\r\n" % (len(data), data))
    return lane.write

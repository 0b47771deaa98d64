"""Holding a sender back, for one stream alone: the origin of a response, or the client of an upload.

HTTP/1: a connection carries one response at a time, so not reading the socket holds it. HTTP/2: the stream's window is
given back only while the stream is not held; the connection's window at once, so that siblings run free.
mitmproxy itself opens windows of 2^31-1 bytes and gives them back on receipt: a slow reader then pulls whole bodies
into memory.
"""

import asyncio
import contextlib
import socket
from collections import defaultdict
from typing import Any, Protocol

import h2.connection
import h2.events
import mitmproxy.proxy.layers.http as http_layers
from hyperframe.frame import DataFrame
from mitmproxy.connection import Connection
from mitmproxy.proxy import layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import Http2Client, Http2Server
from mitmproxy.proxy.layers.http._http2 import Http2Connection
from mitmproxy.proxy.server import ConnectionHandler

from shaper.pacing.watermark import Watermark, marks
from shaper.policy.verdict import Verdict
from shaper.proxy.bounds import EARLY, BoundedFrames
from shaper.proxy.data_frames import PlainData
from shaper.proxy.goaway import Patient
from shaper.proxy.lane import Lane
from shaper.proxy.length import Measured

WINDOW = 65_535
"""Bytes that an HTTP/2 peer may send on a stream before the proxy knows what it carries: the protocol's default."""

WIDE = 4 * 2**20
"""Bytes that may be under way of what is not slowed."""

UNPINNED = marks(None).high - WINDOW
"""From so many bytes under way on, the kernel chooses."""


class Gate(Protocol):
    """Towards the origin of one response."""

    def hold(self) -> None:
        """Let the origin send no more than it already may."""

    def let_go(self) -> None:
        """Let it go on."""

    def widen(self, size: int) -> None:
        """Allow `size` bytes more to be under way at any time."""


READ = 16_384, 32_768, 262_144
"""Bytes that one read takes of what is not decided on, of what is slowed and of what is not. Large reads cost less, but
the kernel makes room for some times what it sees read at once: see `GatedReader.widen`."""

SO_BUF_LOCK = 72
"""Which of a socket's buffers the kernel leaves as they are: socket(7), asm-generic/socket.h, since Linux 5.15."""


def leash(verdict: Verdict) -> tuple[Watermark, int]:
    """Return at which backlogs a sender is held and let go, and how much beyond WINDOW it may have under way."""
    if verdict.shaped and verdict.limits:
        mark = marks(min(limit.rate for limit in verdict.limits))
        return mark, max(0, mark.high - WINDOW)
    if verdict.shaped and verdict.rule and (most := verdict.rule.freeze_after) is not None:
        return marks(2.0 * most), min(most, WIDE)  # no more than will pass
    return marks(None), WIDE


class GatedReader:
    """A stream reader whose reads can be held. Swapped in for the handler's own when a connection is there.

    The transport is paused too, or it would go on filling the reader.
    """

    def __init__(self, reader: asyncio.StreamReader, transport: asyncio.Transport) -> None:
        self._reader = reader
        self._transport = transport
        self.is_severed = False  # the connection broke off, rather than being closed
        self._paused = False
        self._early: int | None = None
        self._is_pinned = False
        self._open = asyncio.Event()
        self._open.set()

    async def read(self, size: int) -> bytes:
        """Read as a StreamReader does, once the gate is open."""
        await self._open.wait()
        if self._early is None:
            return await self._take(size)
        data = await self._take(max(1, min(size, self._early)))
        if self._early is not None:  # it may have become known meanwhile what the connection is for
            self._early -= len(data)
            if self._early <= 0:
                self.hold()
        return data

    async def _take(self, size: int) -> bytes:
        try:
            return await self._reader.read(size)
        except OSError:
            self.is_severed = True
            raise

    def doubt(self) -> None:
        """Read little until it is known what the connection is for: the layers keep all of it until then."""
        self._early = EARLY
        _read_at_most(self._transport, READ[0])

    def trust(self, most: int = READ[0]) -> None:
        """Read on, at most so much at once."""
        _read_at_most(self._transport, most)
        self._unpin()
        if self._early is not None:
            self._early = None
            self.let_go()

    def hold(self) -> None:
        """Do not read on."""
        self._open.clear()
        if self._transport.is_reading():
            self._transport.pause_reading()
            self._paused = True

    def let_go(self) -> None:
        """Read on."""
        self._open.set()
        if self._paused:
            self._transport.resume_reading()
            self._paused = False

    @property
    def has_data(self) -> bool:
        """Whether something was read that nobody has taken yet, be it the end."""
        return bool(self._reader._buffer) or self._reader._eof  # type: ignore[attr-defined]

    def widen(self, size: int) -> None:
        """Read a part of that at once, and have the kernel make room for no more than that.

        Otherwise it lets an origin run megabytes ahead. What may have more than half a second of a rate under way is
        left to the kernel: over a long way it needs more.
        """
        _read_at_most(self._transport, min(max(READ[1], size // 16), READ[2]))
        if size < UNPINNED:
            self._pin(WINDOW + size)
        else:
            self._unpin()

    def _pin(self, size: int) -> None:
        with contextlib.suppress(OSError, AttributeError):  # the connection is gone, or this kernel could not undo it
            sock = self._transport.get_extra_info("socket")
            sock.getsockopt(socket.SOL_SOCKET, SO_BUF_LOCK)
            half = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2  # the kernel doubles what it is told
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, max(size, half))
            self._is_pinned = True

    def _unpin(self) -> None:
        if self._is_pinned:
            with contextlib.suppress(OSError):
                self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, SO_BUF_LOCK, 0)
            self._is_pinned = False


def _read_at_most(transport: asyncio.BaseTransport, size: int) -> None:
    """Have a transport take so many bytes at once. Only asyncio's socket transports have this, without a word of it."""
    transport.max_size = size  # type: ignore[attr-defined]


def put_before(connection: Connection, handler: ConnectionHandler) -> None:
    """Put a gate before the reader of a fresh connection."""
    io = handler.transports.get(connection)
    if io and isinstance(io.reader, asyncio.StreamReader) and isinstance(io.writer, asyncio.StreamWriter):
        io.reader = GatedReader(io.reader, io.writer.transport)  # type: ignore[assignment, arg-type]


def readers(handler: ConnectionHandler) -> list[GatedReader]:
    """Return the gated readers of a client connection and of its origins."""
    present: list[object] = [io.reader for io in handler.transports.values()]
    return [reader for reader in present if isinstance(reader, GatedReader)]


class Windows(Http2Connection):
    """An HTTP/2 connection whose incoming streams can be held, each alone. To be mixed into mitmproxy's two kinds."""

    def __init__(self, context: Context, *args: Any) -> None:
        super().__init__(context, *args)
        self.h2_conn.local_settings.initial_window_size = WINDOW
        self.h2_conn.local_settings.acknowledge()
        self.h2_conn.acknowledge_received_data = self._receive  # type: ignore[method-assign]
        self.held: set[int] = set()
        self._owed: defaultdict[int, int] = defaultdict(int)  # window to give back, by stream; 0: the connection

    def handle_h2_event(self, event: h2.events.Event) -> layer.CommandGenerator[bool]:
        """Forget what is owed to a stream that needs no window any more."""
        if isinstance(event, h2.events.StreamEnded | h2.events.StreamReset) and event.stream_id is not None:
            self.held.discard(event.stream_id)
            self._owed.pop(event.stream_id, None)
        return (yield from super().handle_h2_event(event))

    def _receive(self, acknowledged_size: int, stream_id: int) -> None:
        """Take the place of h2's own acknowledgement, which gives both windows back on receipt."""
        self._owed[0] += acknowledged_size
        if self._owed[0] >= 2**20:  # out of 2^31
            self.h2_conn.increment_flow_control_window(self._owed.pop(0))
        self._owed[stream_id] += acknowledged_size
        if stream_id not in self.held and self._owed[stream_id] >= WINDOW // 4:
            self.repay(stream_id)

    def repay(self, stream_id: int, more: int = 0) -> None:
        """Give back the window owed to a stream, and `more`, if its sender can still use any."""
        size = self._owed.pop(stream_id, 0) + more
        stream = self.h2_conn.streams.get(stream_id)
        closed = self.h2_conn.state_machine.state is h2.connection.ConnectionState.CLOSED
        if size and stream is not None and stream.open and not closed:
            self.h2_conn.increment_flow_control_window(size, stream_id)


class GatedHttp2Client(Windows, BoundedFrames, Measured, PlainData, Patient):
    """Towards an origin, whose responses can be held."""


class GatedHttp2Server(Windows, BoundedFrames, Measured, PlainData, Http2Server):
    """Towards a client, whose uploads can be held."""


class StreamGate:
    """The gate of one HTTP/2 stream."""

    def __init__(self, connection: Windows, stream_id: int, lane: Lane) -> None:
        self._connection = connection
        self._stream_id = stream_id
        self._lane = lane

    def hold(self) -> None:
        """Keep the stream's window."""
        self._connection.held.add(self._stream_id)

    def let_go(self) -> None:
        """Give the stream's window back."""
        self._connection.held.discard(self._stream_id)
        self._connection.repay(self._stream_id)
        self._flush()

    def widen(self, size: int) -> None:
        """Enlarge the stream's window by `size`. Windows bound what comes, so reads need not be small."""
        _read_at_most(self._lane.transport, READ[2])
        self._connection.repay(self._stream_id, size)
        self._flush()

    def _flush(self) -> None:
        if data := self._connection.h2_conn.data_to_send():
            self._lane.write(data)


def install() -> None:
    """Have mitmproxy make gated HTTP/2 connections. Its layers know no other way to choose the class."""
    http_layers.Http2Client = GatedHttp2Client  # type: ignore[misc]
    http_layers.Http2Server = GatedHttp2Server  # type: ignore[misc]
    DataFrame.__repr__ = object.__repr__  # type: ignore[method-assign]  # h2 calls it, which writes all data as hex


def framer_of(outer: layer.Layer) -> layer.Layer:
    """Return the layer that makes a connection's frames: the innermost of those that an HttpLayer keeps for it."""
    while below := getattr(outer, "child_layer", None) or getattr(outer, "layer", None):
        outer = below
    return outer


def gate_for(connection: Connection, framer: layer.Layer, stream_id: int, handler: ConnectionHandler) -> Gate | None:
    """Return the gate towards the sender of the client's stream `stream_id`, or None when it cannot be held."""
    if isinstance(framer, Windows):
        lane = Lane.to(connection, framer.context.layers, handler)
        ours = framer.our_stream_id.get(stream_id) if isinstance(framer, Http2Client) else stream_id
        return StreamGate(framer, ours, lane) if lane and ours is not None else None
    io = handler.transports.get(connection)
    return io.reader if io is not None and isinstance(io.reader, GatedReader) else None

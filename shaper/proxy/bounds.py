"""How much one connection and one message may take, and what ends those that take more: they alone, and counted.

mitmproxy collects the head of an HTTP/1 message, and whatever a client sends ahead of its answer, without end; it opens
and drops HTTP/2 streams as fast as a client asks. The mixins here are for its two kinds of connections of either
protocol. How many connections there may be is `crowd`'s; docs/robustness.md lists every bound and its reason.
"""

import asyncio
from typing import Any

import h2.errors
import h2.events
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import ErrorCode
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._http1 import Http1Connection, Http1Server, make_error_response
from mitmproxy.proxy.layers.http._http2 import Http2Connection

from shaper.pacing.token_bucket import TokenBucket
from shaper.proxy.clock import monotonic
from shaper.record.bound import Bound

HEAD = 65_536
"""Bytes of a message's head, of a line between two chunks, of trailers, or of what a client sends ahead of its answer.
Chromium takes response heads of 256 KiB and Envoy of 60; HTTP/2 header lists end at 64 KiB in h2."""

HELLO = 65_536
"""Bytes of TLS records that may come before a ClientHello is whole; with post-quantum keys one has about 2 kB."""

EARLY = 262_144
"""Bytes that a client may send before it is known what the connection is for, or before an upload's origin is there."""

FRAMES, BURST = 33.0, 200.0
"""HTTP/2 frames a second, and at once, that open a stream for nothing or carry nothing (CVE-2023-44487, CVE-2019-9512
to 9518). nghttp2 allows as many a second; closing a browser's tab resets at most the 100 streams that are open."""


LINGER = 60.0
"""Seconds in which a peer must take some of what is left for it, once its connection is over."""


def reached(context: Context, bound: Bound) -> None:
    """Count a bound that was reached on a connection of a shaped client."""
    shaping = next((each.shaping for each in context.layers if hasattr(each, "shaping")), None)
    if shaping:
        shaping.metrics.bounded(bound)


class BoundedHead(Http1Connection):
    """An HTTP/1 connection that ends when it has to keep more than `HEAD` bytes to understand the next thing."""

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        yield from super()._handle_event(event)
        if isinstance(event, events.DataReceived) and len(self.buf) > HEAD and self.state != self.done:
            yield from self._too_long()

    def _too_long(self) -> layer.CommandGenerator[None]:
        reached(self.context, Bound.HEAD)
        if isinstance(self, Http1Server) and self.state == self.read_headers:
            yield commands.SendData(self.conn, make_error_response(431, "The request's head is too long."))
        yield commands.CloseConnection(self.conn)
        if self.request and self.stream_id is not None:
            error = self.ReceiveProtocolError(self.stream_id, "The message's head is too long.", self._blame)
            yield ReceiveHttp(error)
        self.state = self.done
        self.buf = type(self.buf)()

    @property
    def _blame(self) -> ErrorCode:
        client = isinstance(self, Http1Server)
        return ErrorCode.GENERIC_CLIENT_ERROR if client else ErrorCode.GENERIC_SERVER_ERROR


class BoundedFrames(Http2Connection):
    """An HTTP/2 connection that ends when its peer sends too many frames that ask for work and bring nothing."""

    def __init__(self, context: Context, *args: Any) -> None:
        super().__init__(context, *args)
        self._frames = TokenBucket(FRAMES, BURST)

    def handle_h2_event(self, event: h2.events.Event) -> layer.CommandGenerator[bool]:
        """Look at each frame before anything is done about it."""
        if self._is_idle(event) and self._frames.reserve(1, now := monotonic()) > now:
            reached(self.context, Bound.FRAMES)
            yield from self.protocol_error("too many frames for nothing", h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)
            return True
        return (yield from super().handle_h2_event(event))

    def _is_idle(self, event: h2.events.Event) -> bool:
        """Whether a frame brings nothing. An origin's resets answer our requests, which are bounded themselves."""
        if isinstance(event, h2.events.StreamReset):
            return not self.h2_conf.client_side
        if isinstance(event, h2.events.DataReceived):
            return not event.data and not event.stream_ended
        return isinstance(
            event,
            h2.events.PingReceived
            | h2.events.RemoteSettingsChanged
            | h2.events.PriorityUpdated
            | h2.events.UnknownFrameReceived
            | h2.events.InformationalResponseReceived,
        )


def linger(transport: asyncio.WriteTransport, before: int | None = None) -> None:
    """Cut a closing connection off once its peer takes nothing for `LINGER` seconds; however slowly it does, let it."""
    if left := transport.get_write_buffer_size():
        if left == before:
            transport.abort()
        else:
            asyncio.get_running_loop().call_later(LINGER, linger, transport, left)

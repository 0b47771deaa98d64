"""One HTTP exchange whose bodies go through channels: an h1 exchange or an h2 stream.

mitmproxy's own HttpStream does everything else. What differs here: every body is streamed, shaped or not, because
store-and-forward would distort the control arm; the response's bytes leave through the channel; the end of the message
and the trailers wait behind the backlog; an abort by the client drops the backlog at once, and one by the origin is
passed on after what it sent.
"""

from collections.abc import Callable
from typing import cast

from mitmproxy import http
from mitmproxy.proxy import events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import (
    ErrorCode,
    HttpEvent,
    HttpLayer,
    HTTPMode,
    HttpStream,
    RequestHeaders,
    RequestProtocolError,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    SendHttp,
)
from mitmproxy.proxy.layers.http._http2 import Http2Server

from shaper.pacing.watermark import marks
from shaper.policy.media import needs_head
from shaper.policy.model import Block
from shaper.policy.verdict import Verdict
from shaper.proxy.bell import Bell, Rung
from shaper.proxy.channel import Channel
from shaper.proxy.clock import monotonic
from shaper.proxy.facts import protocol, response_facts
from shaper.proxy.gate import WINDOW, gate_for
from shaper.proxy.lane import Lane, frames
from shaper.proxy.shaping import Settle, Shaping
from shaper.proxy.visitor import Visitor
from shaper.record.fallback import Fallback
from shaper.record.live import LiveTransfer
from shaper.record.transfer import Outcome, Wait

WIDE = 4 * 2**20
"""Bytes of HTTP/2 window for a response that is not slowed."""


class ShapedHttpLayer(HttpLayer):
    """An HttpLayer that makes shaped streams."""

    def __init__(self, context: Context, mode: HTTPMode, shaping: Shaping, visitor: Visitor) -> None:
        super().__init__(context, mode)
        self.shaping = shaping
        self.visitor = visitor

    def make_stream(self, stream_id: int) -> layer.CommandGenerator[None]:
        """Make the stream for one exchange."""
        self.streams[stream_id] = ShapedStream(self.context.fork(), stream_id, self)
        yield from self.event_to_child(self.streams[stream_id], events.Start())


class ShapedStream(HttpStream):
    """One exchange. `self.live` is its account from the request's headers on."""

    def __init__(self, context: Context, stream_id: int, http_layer: ShapedHttpLayer) -> None:
        super().__init__(context, stream_id)
        self._http = http_layer
        self._shaping = http_layer.shaping
        self._visitor = http_layer.visitor
        self._live: LiveTransfer | None = None
        self._verdict: Verdict | None = None
        self._channel: Channel | None = None
        self._bell: Bell | None = None
        self._deferred: HttpEvent | None = None
        self._settle: Settle | None = None  # ends the policing of the connection

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, Rung):
            self._bell = None
            yield from self._drained()
        elif isinstance(event, ResponseProtocolError) and self._channel and not self._channel.end():
            self._deferred = event  # what the origin sent before it died goes first
        else:
            yield from super()._handle_event(event)

    # The request

    def state_wait_for_request_headers(self, event: RequestHeaders) -> layer.CommandGenerator[None]:
        """Open the account."""
        request = event.request
        if request.method != "CONNECT":
            self._live = self._shaping.begin(self._visitor, protocol=protocol(request.http_version))
            self._live.verdict = self._shaping.preliminary(request.pretty_host)
        yield from super().state_wait_for_request_headers(event)

    # The response

    def state_wait_for_response_headers(self, event: ResponseHeaders) -> layer.CommandGenerator[None]:
        """Judge the response by its headers; what only its first bytes can tell is judged again with them."""
        if self._live is None:
            yield from super().state_wait_for_response_headers(event)
            return
        event.response.stream = True
        self.flow.response = event.response
        self._live.origin_protocol = protocol(event.response.http_version)
        self._live.status = event.response.status_code
        self._frame_for_h1(event.response)
        verdict = self._judge()
        if verdict.shaped and verdict.rule and verdict.rule.block:
            yield from self._block(event, verdict.rule.block)
            return
        if delay := self._shaping.latency(verdict):
            yield from self._wait(delay)
        yield from super().state_wait_for_response_headers(event)

    def start_response_stream(self) -> layer.CommandGenerator[None]:
        """Send the headers on and open the channel for the body."""
        yield from super().start_response_stream()
        if self._live and self._verdict:
            yield from self._open(self._verdict)

    def state_stream_response_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Put the body through the channel; the end of it waits until the channel is empty."""
        if isinstance(event, ResponseData) and self._live:
            if self._live.received == 0 and self._channel and self._is_unsure():
                yield from self._judge_again(event.data)
            if self._channel:
                for chunk in self._transformed(event.data):
                    self._channel.push(chunk)
                return
            self._live.took(len(event.data), monotonic())
            self._live.gave(len(event.data), 0, monotonic(), 0.0)
        elif isinstance(event, ResponseEndOfMessage) and self._channel and not self._channel.end():
            self._deferred = event
            return
        yield from super().state_stream_response_body(event)

    def flow_done(self) -> layer.CommandGenerator[None]:
        """Close the account with the exchange."""
        yield from super().flow_done()
        self._finish(Outcome.COMPLETE)

    def handle_protocol_error(
        self, event: RequestProtocolError | ResponseProtocolError
    ) -> layer.CommandGenerator[None]:
        """An abort frees everything at once."""
        by_client = isinstance(event, RequestProtocolError)
        self._finish(Outcome.CLIENT_ABORT if by_client else Outcome.ORIGIN_ABORT)
        yield from super().handle_protocol_error(event)

    # Judging

    def _judge(self, head: bytes = b"") -> Verdict:
        assert self._live
        facts = response_facts(self.flow, self.flow.request.pretty_host, head)
        verdict = self._shaping.decide(facts, self._visitor, plain=self.mode is HTTPMode.regular)
        self._live.judged(verdict, monotonic())
        self._verdict = verdict
        return verdict

    def _is_unsure(self) -> bool:
        assert self.flow.response
        return needs_head(self.flow.response.headers.get_all("content-type"))

    def _judge_again(self, head: bytes) -> layer.CommandGenerator[None]:
        before = self._verdict
        verdict = self._judge(head)
        if before is None or before.limits != verdict.limits or before.rule is not verdict.rule:
            self._close_channel()
            if self._settle:
                self._settle(lambda _: None)
            yield from self._open(verdict)

    def _block(self, event: ResponseHeaders, block: Block) -> layer.CommandGenerator[None]:
        """Refuse with a 403, or reset; the origin is let go either way."""
        self._finish(Outcome.BLOCKED)
        cancel = RequestProtocolError(self.stream_id, "blocked by policy", ErrorCode.CANCEL)
        yield SendHttp(cancel, self.context.server)
        if block is Block.REFUSE:
            refusal = http.Response.make(403, b"", {"content-length": "0", "connection": "close"})
            refusal.http_version = event.response.http_version
            yield SendHttp(ResponseHeaders(self.stream_id, refusal, end_stream=True), self.context.client)
            yield SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)
        else:
            reset = ResponseProtocolError(self.stream_id, "blocked by policy", ErrorCode.KILL)
            yield SendHttp(reset, self.context.client)
        self.client_state = self.server_state = self.state_errored
        self.flow.live = False

    # The channel

    def _open(self, verdict: Verdict) -> layer.CommandGenerator[None]:
        """Open the channel that the verdict asks for. Without a lane there is none, and the body passes unshaped."""
        assert self._live
        handler, client = self._visitor.handler, self.context.client
        lane = Lane.to(client, self.context.layers, handler)
        if lane is None:
            self._shaping.metrics.fallback(Fallback.PACING)
            return
        self._settle = self._shaping.policed(verdict, lane.writer)
        gate = gate_for(handler, self.context.server, self._http.connections[self.context.server], self.stream_id)
        rate = min((limit.rate for limit in verdict.limits), default=None) if verdict.shaped else None
        mark = marks(rate)
        if gate:
            extra = WIDE if rate is None else mark.high - WINDOW
            if extra > 0:
                gate.widen(extra)
        self._channel = Channel(
            live=self._live,
            pacer=self._shaping.pacer(verdict, self._visitor, "down", monotonic()),
            mark=mark,
            gate=gate,
            send=self._sender(lane),
            is_full=self._fullness(lane),
            on_drained=self._ring,
            ticker=self._shaping.ticker,
            levels=self._shaping.levels,
            metrics=self._shaping.metrics,
        )
        if self._bell is None:
            self._bell = Bell()
            yield self._bell

    def _sender(self, lane: Lane) -> Callable[[bytes], None]:
        framer, stream_id = self._http.connections[self.context.client], self.stream_id

        def send(data: bytes) -> None:
            lane.write(frames(framer, ResponseData(stream_id, data)))

        return send

    def _fullness(self, lane: Lane) -> Callable[[], bool]:
        framer, stream_id = self._http.connections[self.context.client], self.stream_id
        if not isinstance(framer, Http2Server):
            return lambda: lane.is_full
        connection = framer.h2_conn

        def is_full() -> bool:
            return lane.is_full or bool(connection.stream_buffers.get(stream_id))

        return is_full

    def _ring(self) -> None:
        if self._bell:
            self._bell.ring()

    def _drained(self) -> layer.CommandGenerator[None]:
        """Handle what waited behind the backlog."""
        if self._deferred is not None:
            deferred, self._deferred = self._deferred, None
            yield from super()._handle_event(deferred)

    def _close_channel(self) -> None:
        if self._channel:
            self._channel.close()
            self._channel = None

    def _finish(self, outcome: Outcome) -> None:
        self._close_channel()
        self._deferred = None
        self._ring()  # so that no bell waits for ever
        live, settle, self._settle = self._live, self._settle, None
        if live and settle:
            live.ledger.enter(Wait.CLIENT, monotonic())
            settle(lambda whole: self._shaping.finish(live, outcome if whole else Outcome.CLIENT_ABORT))
        elif live:
            self._shaping.finish(live, outcome)

    # Small parts

    def _wait(self, seconds: float) -> layer.CommandGenerator[None]:
        """Pause this exchange alone, as held by the shaper."""
        assert self._live
        self._live.ledger.enter(Wait.SHAPER, monotonic())
        bell = Bell(blocking=True)
        self._shaping.ticker.call_at(monotonic() + seconds, lambda _: bell.ring())
        yield bell
        self._live.ledger.enter(Wait.RECEIVING, monotonic())

    def _frame_for_h1(self, response: http.Response) -> None:
        """Give a body of unknown length an end that an HTTP/1.1 client can tell from a broken connection."""
        request = self.flow.request
        unframed = "content-length" not in response.headers and "transfer-encoding" not in response.headers
        bodiless = request.method == "HEAD" or response.status_code in {204, 304} or response.status_code < 200
        if unframed and not bodiless and response.is_http2 and request.http_version == "HTTP/1.1":
            response.headers["transfer-encoding"] = "chunked"

    def _transformed(self, data: bytes) -> list[bytes]:
        """Honour what another addon made of `response.stream`, and mitmproxy's option to store streamed bodies."""
        assert self.flow.response
        stream = self.flow.response.stream
        made = stream(data) if callable(stream) else data
        chunks = [made] if isinstance(made, bytes) else list(cast("list[bytes]", made))
        if self.context.options.store_streamed_bodies:
            for chunk in chunks:
                self.response_body_buf += chunk
        return chunks

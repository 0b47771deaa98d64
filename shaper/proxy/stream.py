"""One HTTP exchange whose bodies go through channels: an h1 exchange or an h2 stream.

mitmproxy's own HttpStream does everything else. What differs here: every body is streamed, shaped or not, because
store-and-forward would distort the control arm; the response's bytes leave through the channel; the end of the message
and the trailers wait behind the backlog; an abort by the client drops the backlog at once, and one by the origin is
passed on after what it sent. Past 300 lines because an exchange is one state machine: each of its states that differs
from mitmproxy's stands here, and what they do with bytes is elsewhere (`passage`, `channel`, `lane`, `gate`).
"""

from collections.abc import Callable
from typing import cast

from mitmproxy import http
from mitmproxy.connection import Connection, ConnectionState
from mitmproxy.proxy import events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import (
    DropStream,
    ErrorCode,
    Http2Client,
    HttpEvent,
    HttpLayer,
    HTTPMode,
    HttpStream,
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    RequestProtocolError,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    ResponseTrailers,
    SendHttp,
)
from mitmproxy.proxy.layers.http._http2 import Http2Connection
from mitmproxy.proxy.layers.tcp import TCPLayer

from shaper.policy.media import HEAD, Evidence, needs_head
from shaper.policy.model import Block
from shaper.policy.verdict import Reason, Verdict
from shaper.proxy import server_timing
from shaper.proxy.bell import Bell, Rung
from shaper.proxy.bounds import EARLY
from shaper.proxy.channel import Channel
from shaper.proxy.clock import monotonic
from shaper.proxy.facts import host_of, protocol, request_facts, response_facts
from shaper.proxy.gate import Gate, GatedReader, StreamGate, framer_of, gate_for, leash
from shaper.proxy.lane import FULL, Lane, cork, is_there, reset_on_close, sending
from shaper.proxy.passage import Passage
from shaper.proxy.shaping import Shaping
from shaper.proxy.visitor import Visitor
from shaper.record.fallback import Fallback
from shaper.record.live import LiveTransfer
from shaper.record.transfer import Outcome, Wait

FROM_ORIGIN = ResponseData | ResponseTrailers | ResponseEndOfMessage | ResponseProtocolError


class ShapedHttpLayer(HttpLayer):
    """An HttpLayer that makes shaped streams."""

    def __init__(self, context: Context, mode: HTTPMode, shaping: Shaping, visitor: Visitor) -> None:
        super().__init__(context, mode)
        self.shaping = shaping
        self.visitor = visitor
        visitor.layers.append(self)

    @property
    def is_busy(self) -> bool:
        """Whether an exchange is under way. A CONNECT is not one: what its tunnel carries is."""
        return any(isinstance(stream, ShapedStream) and stream.is_exchange for stream in self.streams.values())

    def leave(self) -> None:
        """End all exchanges: the client is gone."""
        for stream in self.streams.values():
            if isinstance(stream, ShapedStream):
                stream.leave()

    def free(self, reason: Reason) -> None:
        """Let all exchanges pass: the client takes no part any more."""
        for stream in self.streams.values():
            if isinstance(stream, ShapedStream):
                stream.free(reason)

    def make_stream(self, stream_id: int) -> layer.CommandGenerator[None]:
        """Make the stream for one exchange."""
        if len(self.connections) > 2 * len(self.streams) + 8:
            self._forget_origins()
        self.streams[stream_id] = ShapedStream(self.context.fork(), stream_id, self)
        yield from self.event_to_child(self.streams[stream_id], events.Start())

    def _forget_origins(self) -> None:
        """Forget closed connections to origins, which mitmproxy keeps: there is one a request from HTTP/2 to HTTP/1."""
        used = {stream.context.server for stream in self.streams.values()}
        open_ones = self.visitor.handler.transports
        for connection in [*self.connections]:
            if connection not in open_ones and connection not in used and connection is not self.context.server:
                del self.connections[connection]


class ShapedStream(HttpStream):
    """One exchange. The response's passage is there from the request's headers on: its time counts from then."""

    def __init__(self, context: Context, stream_id: int, http_layer: ShapedHttpLayer) -> None:
        super().__init__(context, stream_id)
        self._http = http_layer
        self._shaping = http_layer.shaping
        self._visitor = http_layer.visitor
        self._down: Passage | None = None
        self._up: Passage | None = None
        self._latency: Bell | None = None
        self._late: list[HttpEvent] = []  # what the origin sent while added latency keeps the response back
        self._head: bytes | None = None  # of the response's body, while its first bytes may still tell what it is
        self._early = 0  # bytes of an upload that came before its origin was there
        self._early_gate: Gate | None = None

    def handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Keep an upload from running far ahead of an origin that is still being connected to."""
        if self._early_gate and isinstance(event, events.CommandCompleted):
            self._early_gate.let_go()
            self._early, self._early_gate = 0, None
        yield from super().handle_event(event)
        if self._paused and isinstance(event, RequestData):
            self._early += len(event.data)
            if self._early > EARLY and self._early_gate is None and (gate := self._gate(self.context.client)):
                self._early_gate = gate
                gate.hold()

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if self._late and isinstance(event, FROM_ORIGIN):
            self._late.append(event)
        elif isinstance(event, Rung) and event.command is self._latency:
            yield from self._answer_late()
        elif isinstance(event, Rung):
            for passage in (self._up, self._down):
                if passage and (deferred := passage.collect(event.command)):
                    yield from super()._handle_event(deferred)
        elif isinstance(event, ResponseProtocolError) and self._down and (yield from self._down.defer(event)):
            pass  # what the origin sent before it died goes first
        else:
            yield from super()._handle_event(event)
        if self.client_state == self.state_errored:
            self._finish(Outcome.BLOCKED)  # unless it ended before: malformed headers, or killed by hand
            yield DropStream(self.stream_id)

    @property
    def is_exchange(self) -> bool:
        """Whether there is a request, other than CONNECT."""
        return self._down is not None

    def leave(self) -> None:
        """End what the client's departure caught waiting for something else."""
        self._finish(Outcome.CLIENT_ABORT)

    def free(self, reason: Reason) -> None:
        """Shape no more of it, and forget it."""
        for passage in (self._up, self._down):
            if passage:
                passage.free(reason)
        if self._latency:
            self._latency.ring()

    # The request

    def state_wait_for_request_headers(self, event: RequestHeaders) -> layer.CommandGenerator[None]:
        """Open the account."""
        request = event.request
        if request.method != "CONNECT":
            live = self._shaping.begin(self._visitor, protocol=protocol(request.http_version))
            live.verdict = self._shaping.preliminary(host_of(request), self._visitor)
            self._down = Passage(live, self._shaping)
        yield from super().state_wait_for_request_headers(event)

    def start_request_stream(self) -> layer.CommandGenerator[None]:
        """Send the headers on and judge the upload."""
        yield from super().start_request_stream()
        if self._down and self.client_state == self.state_stream_request_body:
            facts = request_facts(self.flow, host_of(self.flow.request))
            live = self._shaping.begin(self._visitor, direction="up", protocol=self._down.live.client_protocol)
            self._up = Passage(live, self._shaping)
            verdict = self._up.judge(facts, self._visitor, plain=self._is_plain)
            self._open(self._up, verdict)

    def state_stream_request_body(self, event: RequestData | RequestEndOfMessage) -> layer.CommandGenerator[None]:
        """Put the upload through its channel; the end of it waits until the channel is empty."""
        if self._up and isinstance(event, RequestData) and not callable(self.flow.request.stream):
            if self._up.take(event.data):
                return
        elif self._up and isinstance(event, RequestEndOfMessage):
            if (yield from self._up.defer(event)):
                return
            self._up.finish(Outcome.COMPLETE)
        yield from super().state_stream_request_body(event)

    def state_consume_request_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Collect no body whose request is answered already, by an addon: nobody will read it."""
        if not (isinstance(event, RequestData) and self.flow.response):
            yield from super().state_consume_request_body(event)

    def make_server_connection(self) -> layer.CommandGenerator[bool]:
        """Connect, and read little at once until the response is decided on. A blocked host's origin is not asked."""
        verdict = self._shaping.blocked(host_of(self.flow.request), self._visitor) if self._is_plain else None
        if self._down and verdict and verdict.rule and verdict.rule.block:
            self._down.live.judged(verdict, monotonic())
            yield from self._block(verdict.rule.block)
            return False
        connected = yield from super().make_server_connection()
        if connected and isinstance(gate := self._gate(self.context.server), GatedReader):
            gate.trust()
        return connected

    # The response

    def state_wait_for_response_headers(self, event: ResponseHeaders) -> layer.CommandGenerator[None]:
        """Judge the response by its headers; what only its first bytes can tell is judged again with them."""
        if self._down is None:
            yield from super().state_wait_for_response_headers(event)
            return
        event.response.stream = True
        self.flow.response = event.response
        self._down.live.origin_protocol = protocol(event.response.http_version)
        self._down.live.status = event.response.status_code
        verdict = self._judge(self._down)
        if verdict.shaped and verdict.rule and verdict.rule.block:
            yield from self._block(verdict.rule.block)
            return
        if delay := self._shaping.latency(verdict):
            yield from self._delay(self._down.live, event, delay)
            return
        yield from super().state_wait_for_response_headers(event)

    def start_response_stream(self) -> layer.CommandGenerator[None]:
        """Send the headers on and open the channel for the body."""
        assert self.flow.response
        self._frame_for_h1()
        verdict = self._down.live.verdict if self._down else None
        if self._down and verdict and verdict.target and self._down.live.policy.server_timing:
            server_timing.announce(self.flow.response, verdict, self._down.live)
        if verdict and verdict.shaped:
            cork(self.context.client, self._visitor.handler)
        yield from super().start_response_stream()
        if self._down and verdict:
            self._head = b"" if self._is_unsure(self.flow.response) else None
            if verdict.shaped or self._head is None:
                self._open(self._down, verdict)

    def state_stream_response_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Put the body through the channel; the end of it waits until the channel is empty."""
        assert self.flow.response
        if self._down and isinstance(event, ResponseData):
            if self._head is not None:
                verdict = self._judge_again(self._down, self._head + event.data)
                if verdict and verdict.shaped and verdict.rule and verdict.rule.block:
                    yield from self._block(Block.RESET)  # the headers are out: too late to refuse
                    return
            for chunk in self._transformed(event.data):
                if not self._down.take(chunk):
                    yield SendHttp(ResponseData(self.stream_id, chunk), self.context.client)
            return
        if self._down and isinstance(event, ResponseEndOfMessage):
            if (yield from self._down.defer(event)):
                return
            if "server-timing" in self.flow.response.headers and self._down.live.policy.server_timing:
                server_timing.sum_up(self.flow.response, self._down.live)
        yield from super().state_stream_response_body(event)

    def flow_done(self) -> layer.CommandGenerator[None]:
        """Close the accounts with the exchange. What follows a protocol switch is relayed, and no copy kept of it."""
        yield from super().flow_done()
        if isinstance(self.child_layer, TCPLayer):
            self.child_layer.flow = None
        response = self.flow.response
        if self._down and response and not response.stream and response.raw_content:
            self._down.bypass(len(response.raw_content))
        self._finish(Outcome.COMPLETE)

    def handle_protocol_error(
        self, event: RequestProtocolError | ResponseProtocolError
    ) -> layer.CommandGenerator[None]:
        """An abort frees everything at once."""
        by_client = isinstance(event, RequestProtocolError)
        self._finish(Outcome.CLIENT_ABORT if by_client else Outcome.ORIGIN_ABORT)
        yield from super().handle_protocol_error(event)

    # Judging

    def _judge(self, passage: Passage, head: bytes = b"") -> Verdict:
        facts = response_facts(self.flow, host_of(self.flow.request), head)
        return passage.judge(facts, self._visitor, plain=self._is_plain)

    def _is_unsure(self, response: http.Response) -> bool:
        """Whether the first bytes may tell what the headers do not."""
        fetch_dest = self.flow.request.headers.get("sec-fetch-dest", "")
        return needs_head(response.headers.get_all("content-type"), fetch_dest)

    def _judge_again(self, passage: Passage, head: bytes) -> Verdict | None:
        """Judge by what is in of the body. Bytes pass unshaped until it is known; none that is held back is let go."""
        self._head = None
        if passage.channel and not passage.channel.is_empty:
            return None
        before, verdict = passage.live.verdict, self._judge(passage, head)
        if verdict.evidence is not Evidence.SNIFFED and len(head) < HEAD:
            self._head = head
        if passage.channel and before and before.rule is not verdict.rule:
            passage.close()
        if passage.channel is None and (verdict.shaped or self._head is None):
            self._open(passage, verdict)
        return verdict

    def _block(self, block: Block) -> layer.CommandGenerator[None]:
        """Refuse with a 403, or reset; an origin that was asked is let go either way."""
        self._finish(Outcome.BLOCKED)
        if self.context.server in self._http.connections:
            cancel = RequestProtocolError(self.stream_id, "blocked by policy", ErrorCode.CANCEL)
            yield SendHttp(cancel, self.context.server)
        if block is Block.REFUSE:
            refusal = http.Response.make(403, b"", {"content-length": "0"})
            refusal.http_version = self.flow.request.http_version
            yield SendHttp(ResponseHeaders(self.stream_id, refusal, end_stream=True), self.context.client)
            yield SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)
        else:
            if not isinstance(framer_of(self._http.connections[self.context.client]), Http2Connection):
                reset_on_close(self.context.client, self._visitor.handler)
            reset = ResponseProtocolError(self.stream_id, "blocked by policy", ErrorCode.KILL)
            yield SendHttp(reset, self.context.client)
        self.client_state = self.server_state = self.state_errored
        self.flow.live = False
        yield DropStream(self.stream_id)

    # Channels

    def _open(self, passage: Passage, verdict: Verdict) -> None:
        """Open the channel that the verdict asks for. Without a lane there is none, and the body passes unshaped."""
        handler, shaping, up = self._visitor.handler, self._shaping, passage is self._up
        ends: list[Connection] = [self.context.server, self.context.client]
        source, sink = reversed(ends) if up else ends
        framer = framer_of(self._http.connections[sink])
        lane = Lane.to(sink, framer.context.layers, handler)
        waits = isinstance(framer, Http2Client) and self.stream_id not in framer.our_stream_id
        if lane is None or waits:  # for a place among the origin's streams: mitmproxy queues the upload until then
            if is_there(sink, handler):  # or nothing passes
                shaping.metrics.fallback(Fallback.PACING)
            return
        if up:
            lane.spare_others()
        if client := Lane.to(self.context.client, [], handler):
            passage.settle = shaping.policed(verdict, client.writer)
        gate = self._gate(source)
        if gate is None and verdict.shaped and source.state & ConnectionState.CAN_READ:
            shaping.metrics.fallback(Fallback.GATE)
        (mark, wide), room = leash(verdict), 0
        if isinstance(gate, StreamGate):
            room = shaping.levels.widen(gate, wide)
        elif gate:
            gate.widen(wide)
        message = self.flow.request if up else self.flow.response
        assert message
        passage.channel = Channel(
            live=passage.live,
            pacer=shaping.pacer(verdict, self._visitor, passage.live.direction, monotonic()),
            mark=mark,
            gate=gate,
            send=sending(lane, framer, self.stream_id, message, shaping.ticker),
            is_full=_fullness(framer, lane, self.stream_id, mark.high),
            on_drained=passage.ring,
            ticker=shaping.ticker,
            levels=shaping.levels,
            metrics=shaping.metrics,
            room=room,
        )

    def _finish(self, outcome: Outcome) -> None:
        self._late.clear()
        for passage in (self._up, self._down):
            if passage:
                passage.finish(outcome)

    # Small parts

    @property
    def _is_plain(self) -> bool:
        """Whether this is HTTP without a tunnel, so that rules for whole connections hold for it."""
        return self.mode is HTTPMode.regular

    def _delay(self, live: LiveTransfer, event: ResponseHeaders, seconds: float) -> layer.CommandGenerator[None]:
        """Keep the response back, and its origin too; the client may leave meanwhile."""
        now = monotonic()
        live.ledger.enter(Wait.SHAPER, now)
        self._late.append(event)
        bell = self._latency = Bell()
        if gate := self._gate(self.context.server):
            gate.hold()
        self._shaping.ticker.call_at(now + seconds, lambda _: bell.ring())
        yield bell

    def _answer_late(self) -> layer.CommandGenerator[None]:
        """Go on with what was kept back."""
        self._latency = None
        if not self._late or not self._down:  # the client has left
            return
        self._down.live.ledger.enter(Wait.RECEIVING, monotonic())
        (headers, *others), self._late = self._late, []
        if gate := self._gate(self.context.server):
            gate.let_go()
        yield from super().state_wait_for_response_headers(headers)
        for event in others:
            yield from self._handle_event(event)

    def _gate(self, source: Connection) -> Gate | None:
        return gate_for(source, framer_of(self._http.connections[source]), self.stream_id, self._visitor.handler)

    def _frame_for_h1(self) -> None:
        """Give a body of unknown length an end that an HTTP/1.1 client can tell from a broken connection."""
        request, response = self.flow.request, self.flow.response
        assert response
        unframed = "content-length" not in response.headers and "transfer-encoding" not in response.headers
        bodiless = request.method == "HEAD" or response.status_code in {204, 304} or response.status_code < 200
        if unframed and not bodiless and request.http_version == "HTTP/1.1":
            self.flow.response = response.copy()  # the origin's connection still goes by what the origin said
            self.flow.response.stream = response.stream
            self.flow.response.http_version = "HTTP/1.1"
            self.flow.response.headers["transfer-encoding"] = "chunked"

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


def _fullness(framer: layer.Layer, lane: Lane, stream_id: int, most: int) -> Callable[[], bool]:
    """Return what tells whether the receiver has stopped taking bytes, on its connection or on its HTTP/2 stream.

    A body that has its connection to itself, as in HTTP/1, may leave `most` bytes unsent in it.
    """
    if not isinstance(framer, Http2Connection):
        most = min(most, FULL)
        unsent = lane.transport.get_write_buffer_size
        return lambda: unsent() > most
    ours = framer.our_stream_id.get(stream_id, stream_id) if isinstance(framer, Http2Client) else stream_id
    waiting = framer.h2_conn.stream_buffers
    return lambda: lane.is_full() or bool(waiting.get(ours))

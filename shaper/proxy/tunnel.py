"""A connection shaped as a whole, as opaque bytes: never decrypted, its TLS handshake shaped with the rest.

mitmproxy's TCPLayer opens the origin and closes both sides; here the bytes go through channels, one a direction, each
with buckets of its own. Chunks that a closed channel no longer takes are relayed as they are.
"""

from mitmproxy.connection import Connection, ConnectionState
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.tcp import TCPLayer

from shaper.pacing.watermark import marks
from shaper.policy.model import Block, Direction
from shaper.policy.verdict import Verdict
from shaper.proxy.bell import Bell, Rung
from shaper.proxy.channel import Channel
from shaper.proxy.clock import monotonic
from shaper.proxy.gate import WINDOW, GatedReader
from shaper.proxy.lane import Lane
from shaper.proxy.shaping import Settle, Shaping
from shaper.proxy.visitor import Visitor
from shaper.record.fallback import Fallback
from shaper.record.live import LiveTransfer
from shaper.record.transfer import Outcome


class Side:
    """One direction of a shaped tunnel."""

    def __init__(self, source: Connection, sink: Connection, live: LiveTransfer) -> None:
        self.source = source
        self.sink = sink
        self.live = live
        self.channel: Channel | None = None
        self.bell: Bell | None = None
        self.closing = False


class RefusedTunnel(layer.Layer):
    """Closes both sides and passes nothing."""

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, events.Start):
            for connection in (self.context.server, self.context.client):
                if connection.state is not ConnectionState.CLOSED:
                    yield commands.CloseConnection(connection)


class ShapedTunnel(TCPLayer):
    """Relays bytes under a connection-level verdict. Start-up and teardown are TCPLayer's."""

    def __init__(self, context: Context, shaping: Shaping, visitor: Visitor, verdict: Verdict) -> None:
        super().__init__(context, ignore=True)
        self._shaping = shaping
        self._visitor = visitor
        self._verdict = verdict
        self._active_at = monotonic()
        self._sides: dict[Connection, Side] = {}
        self._settle: Settle | None = None
        self._reset = bool(verdict.shaped and verdict.rule and verdict.rule.block is Block.RESET)
        visitor.layers.append(self)

    def start(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Open the origin, then relay."""
        yield from super().start(event)
        if self._handle_event == self.relay_messages:
            self._handle_event = self.shape  # type: ignore[method-assign]
            if lane := Lane.to(self.context.client, [], self._visitor.handler):
                self._settle = self._shaping.policed(self._verdict, lane.writer)

    _handle_event = start

    def shape(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Put bytes through the channel of their direction; a close waits behind them."""
        if self._reset:
            yield from self._abort()
        elif isinstance(event, events.DataReceived):
            side = yield from self._side(event.connection)
            self._forget_when_idle(monotonic())
            if side.channel and not side.channel.closed:
                side.channel.push(event.data)
            else:
                yield commands.SendData(side.sink, event.data)
        elif isinstance(event, events.ConnectionClosed):
            side = yield from self._side(event.connection)
            if event.connection is self.context.client and event.connection.state is ConnectionState.CLOSED:
                yield from self._abort()
            elif side.channel and not side.channel.closed and not side.channel.end():
                side.closing = True
            elif event.connection is self.context.client:  # mitmproxy knows no half-closed CONNECT
                yield from self._abort()
            else:
                yield from self._close(side)
        elif isinstance(event, Rung):
            for side in self._sides.values():
                if side.bell is event.command and side.closing:
                    yield from self._abort() if side.source is self.context.client else self._close(side)

    def _forget_when_idle(self, now: float) -> None:
        """Shape no more after a long silence, as the episodes' devices lost a flow's state."""
        if now - self._active_at > self._shaping.policy.forget_after:
            for side in self._sides.values():
                if side.channel and side.channel.is_empty:
                    side.channel.close()
            self._stop_policing()
        self._active_at = now

    def _side(self, source: Connection) -> layer.CommandGenerator[Side]:
        if source not in self._sides:
            down = source is self.context.server
            sink = self.context.client if down else self.context.server
            live = self._shaping.begin(self._visitor, level="connection", direction="down" if down else "up")
            live.judged(self._verdict, live.start)
            side = self._sides[source] = Side(source, sink, live)
            rule = self._verdict.rule
            wanted = Direction.DOWN if down else Direction.UP
            if self._verdict.shaped and rule and rule.direction in {wanted, Direction.BOTH}:
                yield from self._open(side)
        return self._sides[source]

    def _open(self, side: Side) -> layer.CommandGenerator[None]:
        handler, shaping = self._visitor.handler, self._shaping
        lane = Lane.to(side.sink, [], handler)
        io = handler.transports.get(side.source)
        if lane is None:
            shaping.metrics.fallback(Fallback.PACING)
            return
        now = monotonic()
        pacer = shaping.pacer(self._verdict, self._visitor, side.live.direction, now)
        mark = marks(min((limit.rate for limit in self._verdict.limits), default=None))
        gate = io.reader if io and isinstance(io.reader, GatedReader) else None
        if gate:
            gate.widen(max(0, mark.high - WINDOW))
        side.bell = Bell()
        side.channel = Channel(
            live=side.live,
            pacer=pacer,
            mark=mark,
            gate=gate,
            send=lane.write,
            is_full=lambda: lane.is_full,
            on_drained=side.bell.ring,
            ticker=shaping.ticker,
            levels=shaping.levels,
            metrics=shaping.metrics,
        )
        yield side.bell

    def _close(self, side: Side) -> layer.CommandGenerator[None]:
        """Close one direction after its last byte; the tunnel is done when both are."""
        self._end(side, Outcome.COMPLETE)
        yield from self.relay_messages(events.ConnectionClosed(side.source))
        if self._handle_event == self.done:
            self._finish(Outcome.COMPLETE)

    def _abort(self) -> layer.CommandGenerator[None]:
        self._finish(Outcome.BLOCKED if self._reset else Outcome.CLIENT_ABORT)
        for connection in (self.context.server, self.context.client):
            if connection.state is not ConnectionState.CLOSED:
                yield commands.CloseConnection(connection)

    @property
    def is_busy(self) -> bool:
        """A tunnel lasts for as long as its ends want it."""
        return True

    def leave(self) -> None:
        """End both directions: the client is gone. Only a direction with bytes still to pass is cut short by that."""
        self._finish(Outcome.CLIENT_ABORT)

    def _finish(self, outcome: Outcome) -> None:
        for side in self._sides.values():
            cut = outcome is not Outcome.CLIENT_ABORT or (side.channel is not None and not side.channel.is_empty)
            self._end(side, outcome if cut else Outcome.COMPLETE)
        self._stop_policing()
        self._handle_event = self.ignore  # type: ignore[method-assign, assignment]

    def _stop_policing(self) -> None:
        settle, self._settle = self._settle, None
        if settle:
            settle(lambda _: None)

    def ignore(self, _: events.Event) -> layer.CommandGenerator[None]:
        """Take what still comes after the end: closes and bells."""
        yield from ()

    def _end(self, side: Side, outcome: Outcome) -> None:
        if side.channel:
            side.channel.close()
        self._shaping.finish(side.live, outcome)

"""A connection carried as a whole, as opaque bytes: never decrypted, its TLS handshake shaped with the rest.

mitmproxy's TCPLayer opens the origin and closes both sides; here the bytes go through channels, one a direction, each
with buckets of its own. A direction that is not shaped has a channel without any, so that a control is carried and
measured as what it is compared with.
"""

from collections.abc import Sequence
from dataclasses import replace

from mitmproxy.connection import Connection, ConnectionState
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.tcp import TCPLayer

from shaper.policy.model import Block, Direction
from shaper.policy.verdict import Reason, Verdict
from shaper.proxy.bell import Rung
from shaper.proxy.channel import Channel
from shaper.proxy.clock import monotonic
from shaper.proxy.gate import GatedReader, leash
from shaper.proxy.lane import Lane, is_there, reset_on_close
from shaper.proxy.passage import Passage
from shaper.proxy.shaping import Settle, Shaping
from shaper.proxy.visitor import Visitor
from shaper.record.fallback import Fallback
from shaper.record.transfer import Outcome


class RefusedTunnel(layer.Layer):
    """Closes both sides and passes nothing."""

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, events.Start):
            for connection in (self.context.server, self.context.client):
                if connection.state is not ConnectionState.CLOSED:
                    yield commands.CloseConnection(connection)


class ShapedTunnel(TCPLayer):
    """Relays bytes under a connection-level verdict on `hosts`. Start-up and teardown are TCPLayer's."""

    def __init__(
        self, context: Context, shaping: Shaping, visitor: Visitor, verdict: Verdict, hosts: Sequence[str] = ()
    ) -> None:
        super().__init__(context, ignore=True)
        self._shaping = shaping
        self._visitor = visitor
        self._verdict = verdict
        self._hosts = hosts
        self._active_at = monotonic()
        self._sides: dict[Connection, Passage] = {}  # by where the bytes come from
        self._settle: Settle | None = None
        self._reset = bool(verdict.shaped and verdict.rule and verdict.rule.block is Block.RESET)
        visitor.layers.append(self)

    def start(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Open the origin, then relay. An origin whose connections are reset is not asked."""
        if self._reset:
            self._side(self.context.server)  # it carries nothing, and is accounted for
            reset_on_close(self.context.client, self._visitor.handler)
            yield from self._abort()
            return
        yield from super().start(event)
        if self._handle_event == self.relay_messages:
            self._handle_event = self.shape  # type: ignore[method-assign]
            if lane := Lane.to(self.context.client, [], self._visitor.handler):
                self._settle = self._shaping.policed(self._verdict, lane.writer)

    _handle_event = start

    def shape(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Put bytes through the channel of their direction; a close waits behind them."""
        if isinstance(event, events.DataReceived):
            side = self._side(event.connection)
            self._forget_when_idle(monotonic())
            if not side.take(event.data):
                yield commands.SendData(self._peer(event.connection), event.data)
        elif isinstance(event, events.ConnectionClosed):
            side = self._side(event.connection)
            if event.connection is self.context.client and event.connection.state is ConnectionState.CLOSED:
                yield from self._abort()
            elif not (yield from side.defer(event)):
                yield from self._close(event)
        elif isinstance(event, Rung):
            for side in list(self._sides.values()):
                if isinstance(closed := side.collect(event.command), events.ConnectionClosed):
                    yield from self._close(closed)

    def _forget_when_idle(self, now: float) -> None:
        """Shape no more after a long silence, as the episodes' devices lost a flow's state."""
        silence, self._active_at = now - self._active_at, now
        if silence > self._shaping.policy.forget_after and all(side.is_empty for side in self._sides.values()):
            self._verdict = replace(self._verdict, reason=Reason.UNCAPPED, limits=())
            for source, side in self._sides.items():
                side.close()
                self._open(side, source)
            self._stop_policing()

    def _side(self, source: Connection) -> Passage:
        if source not in self._sides:
            shaping, direction = self._shaping, self._direction(source)
            live = shaping.begin(self._visitor, level="connection", direction=direction)
            live.judged(self._verdict.towards(direction), live.start)
            side = self._sides[source] = Passage(live, shaping)
            side.shadows = shaping.shadows_beside(self._hosts, self._verdict, self._visitor, direction, live.start)
            self._open(side, source)
        return self._sides[source]

    def _direction(self, source: Connection) -> Direction:
        return Direction.DOWN if source is self.context.server else Direction.UP

    def _peer(self, source: Connection) -> Connection:
        return self.context.client if source is self.context.server else self.context.server

    def _open(self, side: Passage, source: Connection) -> None:
        """Open the channel. Without a lane there is none, and the bytes pass unshaped."""
        handler, shaping, peer = self._visitor.handler, self._shaping, self._peer(source)
        lane = Lane.to(peer, [], handler)
        if lane is None:
            if is_there(peer, handler):  # or nothing passes
                shaping.metrics.fallback(Fallback.PACING)
            return
        verdict = self._verdict.towards(self._direction(source))
        mark, wide = leash(verdict)
        io = handler.transports.get(source)
        gate = io.reader if io and isinstance(io.reader, GatedReader) else None
        if gate:
            gate.widen(wide)
        side.channel = Channel(
            live=side.live,
            pacer=shaping.pacer(verdict, self._visitor, side.live.direction, monotonic()),
            mark=mark,
            gate=gate,
            send=lane.write,
            is_full=lane.is_full,
            on_drained=side.ring,
            ticker=shaping.ticker,
            levels=shaping.levels,
            metrics=shaping.metrics,
        )

    def _close(self, event: events.ConnectionClosed) -> layer.CommandGenerator[None]:
        """Close one direction after its last byte; the tunnel is done when both are."""
        if event.connection is self.context.client:  # mitmproxy knows no half-closed CONNECT
            yield from self._abort()
            return
        self._sides[event.connection].finish(Outcome.COMPLETE)
        yield from self.relay_messages(event)
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

    def free(self, reason: Reason) -> None:
        """Relay from now on: the client takes no part any more."""
        self._verdict = Verdict(reason)
        for side in self._sides.values():
            side.free(reason)
        self._stop_policing()

    def _finish(self, outcome: Outcome) -> None:
        for side in self._sides.values():
            cut = outcome is not Outcome.CLIENT_ABORT or not side.is_empty
            side.finish(outcome if cut else Outcome.COMPLETE)
        self._stop_policing()
        self._handle_event = self.ignore  # type: ignore[method-assign, assignment]

    def _stop_policing(self) -> None:
        settle, self._settle = self._settle, None
        if settle:
            settle(lambda _: None)

    def ignore(self, _: events.Event) -> layer.CommandGenerator[None]:
        """Take what still comes after the end: closes and bells."""
        yield from ()

"""One body on its way through the proxy: its account, its channel, and the event that waits behind its backlog.

A direction of a tunnel is one body. A passage may have no channel: then the body passes unshaped and is only accounted
for.
"""

from dataclasses import replace

from mitmproxy.proxy import events, layer

from shaper.policy.model import Direction
from shaper.policy.verdict import Facts, Reason, Verdict
from shaper.proxy.bell import Bell
from shaper.proxy.channel import Channel
from shaper.proxy.clock import monotonic
from shaper.proxy.shadow import Shadow
from shaper.proxy.shaping import Settle, Shaping
from shaper.proxy.visitor import Visitor
from shaper.record.fallback import Fallback
from shaper.record.live import LiveTransfer
from shaper.record.transfer import Outcome, Wait


class Passage:
    """Of a response's body, or of a request's. `settle` ends the policing of the connection, if it is policed."""

    def __init__(self, live: LiveTransfer, shaping: Shaping) -> None:
        self.live = live
        self.channel: Channel | None = None
        self.settle: Settle | None = None
        self.shadows: list[Shadow] = []
        self._shaping = shaping
        self._deferred: events.Event | None = None
        self._bell: Bell | None = None

    def judge(self, facts: Facts, visitor: Visitor, *, plain: bool = False) -> Verdict:
        """Decide what becomes of the body, and note it."""
        now = monotonic()
        verdict = self._shaping.decide(facts, visitor, plain=plain)
        self.live.judged(verdict, now)
        self.shadows = self._shaping.shadows_of(facts, verdict, visitor, now)
        return verdict

    @property
    def is_empty(self) -> bool:
        """Whether nothing is held back."""
        return self.channel is None or self.channel.is_empty

    def take(self, data: bytes) -> bool:
        """Put bytes through the channel; False when there is none, and the caller is to send them as they are."""
        now = monotonic()
        for shadow in self.shadows:
            shadow.push(len(data), now)
        if self.channel:
            self.channel.push(data)
            return True
        self.live.took(len(data), now)
        self.live.gave(len(data), now, 0.0)
        return False

    def defer(self, event: events.Event) -> layer.CommandGenerator[bool]:
        """Keep an event back until the channel is empty; False when it is empty already, or there is none."""
        if self.channel is None or self.channel.end():
            return False
        if self._deferred:  # an origin may reset a stream that it has completed: the first end counts
            return True
        self._deferred = event
        self._bell = Bell()
        yield self._bell
        return True

    def ring(self) -> None:
        """Let the layer come for what was deferred."""
        if self._bell:
            self._bell.ring()

    def collect(self, bell: Bell) -> events.Event | None:
        """Return what waited for this bell."""
        if bell is not self._bell:
            return None
        deferred, self._deferred, self._bell = self._deferred, None, None
        return deferred

    def free(self, reason: Reason) -> None:
        """Let the rest of the body pass as it comes, and keep no record of it."""
        if self.live.verdict and self.live.verdict.reason is not reason:
            self.live.verdict, self.shadows = Verdict(reason), []
            if self.channel:
                self.channel.free()
            self._stop_policing()

    def bypass(self, size: int) -> None:
        """Note a body that another addon made, or had collected: it passed as a whole, whatever was decided."""
        now, verdict = monotonic(), self.live.verdict
        self.live.took(size, now)
        self.live.gave(size, now, 0.0)
        if verdict and verdict.shaped:
            self._shaping.metrics.fallback(Fallback.PACING)
            self.live.verdict = replace(verdict, reason=Reason.ERROR)

    def close(self) -> None:
        """Drop backlog, alarm and policing, before a channel for another verdict or at the end."""
        if self.channel:
            self.channel.close()
            self.channel = None
        self._stop_policing()

    def _stop_policing(self) -> None:
        settle, self.settle = self.settle, None
        if settle:
            settle(lambda _: None)

    def finish(self, outcome: Outcome) -> None:
        """End it all, once. A policed response ends when the client has acknowledged it; an upload is here."""
        settle = None
        if self.live.direction == Direction.DOWN:
            settle, self.settle = self.settle, None
        for shadow in self.shadows:
            self.live.estimate[shadow.name] = shadow.cost(monotonic())
        self.close()
        self._deferred = None
        self.ring()  # so that no bell waits for ever
        if settle:
            self.live.ledger.enter(Wait.CLIENT, monotonic())
            settle(lambda whole: self._shaping.finish(self.live, outcome if whole else Outcome.CLIENT_ABORT))
        else:
            self._shaping.finish(self.live, outcome)

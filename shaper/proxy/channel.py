"""Bytes on their way through the shaper in one direction: pacer, ledger, gate and alarm of one transfer.

A channel sends by itself, outside the layers, and says `on_drained` when a finished message has left it.
If pacing fails, the backlog is passed on at once and the failure is counted: bytes are never lost.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from shaper.pacing.pacer import Pacer
from shaper.pacing.watermark import Watermark
from shaper.proxy.clock import monotonic
from shaper.proxy.gate import Gate
from shaper.proxy.ticker import Alarm, Ticker
from shaper.record.fallback import Fallback
from shaper.record.live import LiveTransfer
from shaper.record.metrics import Metrics
from shaper.record.transfer import Wait

logger = logging.getLogger(__name__)

PATIENCE = 0.02, 0.5
"""Seconds until a client that takes no bytes is looked at again, at first and at most; in between a sixteenth of how
long it has taken none already, so that thousands that never read cost next to nothing."""


ROOM, NARROW = 2**28, 2**18
"""Bytes that all senders together may have under way, and that one may in any case: a client that takes nothing makes
the proxy hold what is under way already."""


@dataclass(slots=True)
class Levels:
    """What all channels of a proxy hold at this moment; read by the metrics when they are scraped."""

    backlog: int = 0
    gated: int = 0
    room: int = 0  # bytes that senders of HTTP/2 streams may have under way, beyond what they always may

    def widen(self, gate: Gate, size: int) -> int:
        """Let a sender have `size` bytes more under way, or `NARROW` when others have all `ROOM`; return how many."""
        size = min(size, max(NARROW, ROOM - self.room))
        gate.widen(size)
        self.room += size
        return size


class Channel:
    """One direction of one transfer."""

    __slots__ = (
        "_alarm", "_ended", "_gate", "_held_at", "_is_full", "_levels", "_live", "_mark", "_metrics", "_on_drained",
        "_pacer", "_room", "_send", "_ticker", "_wait", "_wait_since", "_wakes", "closed",
    )  # fmt: skip

    def __init__(
        self,
        *,
        live: LiveTransfer,
        pacer: Pacer,
        mark: Watermark,
        gate: Gate | None,
        send: Callable[[bytes], None],
        is_full: Callable[[], bool],
        on_drained: Callable[[], None],
        ticker: Ticker,
        levels: Levels,
        metrics: Metrics,
        room: int = 0,
    ) -> None:
        """`room` is what `levels` let the sender have; it is given back at the end."""
        self._live = live
        self._pacer = pacer
        self._mark = mark
        self._gate = gate
        self._send = send
        self._is_full = is_full
        self._on_drained = on_drained
        self._ticker = ticker
        self._levels = levels
        self._room = room
        self._metrics = metrics
        self._alarm: Alarm | None = None
        self._wait = Wait.RECEIVING
        self._wait_since = 0.0
        self._wakes = 0.0  # our part of the ticker's demand, while there is a backlog
        self._held_at: float | None = None
        self._ended = False
        self.closed = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is held back."""
        return not self._pacer.backlog

    def push(self, data: bytes) -> None:
        """Take bytes from the origin, and pass on what is due, even if the alarm could not go off in time for them."""
        now = monotonic()
        self._live.took(len(data), now)
        self._pacer.push(data, now)
        self._levels.backlog += len(data)
        if self._alarm and self._alarm.when > now:
            self._regulate(now)
        else:
            self._disarm()
            self._pump(now)
        self._live.held(self._pacer.backlog)

    def end(self) -> bool:
        """Note that no more bytes will come; tell whether the channel is empty already. If not, `on_drained` will."""
        self._ended = True
        self._let_go(monotonic())
        return self.is_empty

    def free(self) -> None:
        """Pass on what is held, and all that still comes, without a cap."""
        if self.closed:
            return
        self._disarm()
        self._pacer = self._pacer.emptied()
        self._pump(monotonic())

    def close(self) -> None:
        """Drop backlog and alarm and let the origin go. The channel does nothing any more."""
        if self.closed:
            return
        self.closed = True
        self._disarm()
        self._demand(0.0)
        self._levels.backlog -= self._pacer.backlog
        self._levels.room -= self._room
        self._let_go(monotonic())

    def _pump(self, now: float) -> None:
        """Pass on what is due at `now` and set the alarm for the rest."""
        if self.closed:
            return
        wake_at = self._wait_for_client(now) if self._is_full() else self._release(now)
        self._regulate(now)
        if wake_at is not None:
            alarm = self._alarm = self._alarm or Alarm(self._pump)
            self._ticker.set(alarm, wake_at)
        elif self._ended and self.is_empty:
            self._on_drained()

    def _disarm(self) -> None:
        if self._alarm:
            self._alarm.cancel()
            self._alarm = None

    def _release(self, now: float) -> float | None:
        """Pass on what is due; return when to look again."""
        try:
            data, wake_at = self._pacer.release(now, self._ticker.stretch, self._ticker.grain)
        except Exception:
            logger.exception("Pacing failed; the response goes on unshaped.")
            self._metrics.fallback(Fallback.PACING)
            self._pacer = self._pacer.emptied()
            data, wake_at = self._pacer.release(now)
        backlog, waited = self._pacer.backlog, 0.0
        if backlog and self._wait is Wait.SHAPER:  # piece after piece, the ledger has nothing to learn
            waited, self._wait_since = now - self._wait_since, now
        else:
            self._enter(Wait.SHAPER if backlog else Wait.RECEIVING, now)
        if size := len(data):
            self._levels.backlog -= size
            self._live.gave(size, now, waited)
            self._send(data)
        self._demand(self._pacer.wakes if backlog else 0.0)
        return wake_at

    def _wait_for_client(self, now: float) -> float | None:
        """Return when to look again whether the client takes bytes."""
        if self.is_empty:
            return None
        if self._wait is not Wait.CLIENT:
            self._enter(Wait.CLIENT, now)
        patience = min(max(PATIENCE[0], (now - self._wait_since) / 16), PATIENCE[1])
        self._demand(1 / patience)
        return now + patience

    def _enter(self, wait: Wait, now: float) -> None:
        self._live.ledger.enter(wait, now)
        self._wait, self._wait_since = wait, now

    def _demand(self, wakes: float) -> None:
        if wakes != self._wakes:
            self._ticker.demand(wakes - self._wakes)
            self._wakes = wakes

    def _regulate(self, now: float) -> None:
        """Hold the origin or let it go, by the watermarks."""
        if self._gate and self._mark.cross(self._pacer.backlog):
            if self._mark.over:
                self._gate.hold()
                self._held_at = now
                self._levels.gated += 1
            else:
                self._let_go(now)

    def _let_go(self, now: float) -> None:
        if self._gate and self._held_at is not None:
            self._gate.let_go()
            self._levels.gated -= 1
            self._live.gated += now - self._held_at
            self._metrics.gate_opened(now - self._held_at)
            self._held_at = None

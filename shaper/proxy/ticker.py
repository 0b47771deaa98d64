"""All alarms of the proxy on one timer.

asyncio rounds its timeouts up to a millisecond; at 50 Mbit/s that is 6 kB. A timerfd (Linux) in the event loop wakes
within some 50 microseconds. Where there is none, asyncio's own timer serves.
"""

import asyncio
import heapq
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from math import ceil, floor, log2

from shaper.proxy.clock import monotonic

logger = logging.getLogger(__name__)

TURN = 0.004
"""Seconds of alarms in one go; then everything else in the event loop has its turn. Those of one instant with 200
transfers fit in: what came between them would make each late by a different time."""

BUSY = 500.0
GRAIN = 0.005
"""Beyond BUSY wakes a second, alarms go off together at multiples of GRAIN seconds, or of 2, 4, 8 times that, of which
3 to 6 make one of the stretched pieces: one wake of the loop, and one write to an HTTP/2 connection, for several."""

EASY, GROWTH, BUDGET = 1000.0, 0.398, 5000.0
"""Wakes a second from which on pieces grow, by which power, and that the proxy hardly exceeds however many transfers
there are. At 150 kbit/s up to 20 transfers get 20 ms of rate a piece, 100 get 40 ms, 200 get 50 ms, 1,000 200 ms."""


class Alarm:
    """A call to come, at instant `when` once it is set. When it has gone off it may be set again."""

    __slots__ = ("callback", "when")

    def __init__(self, callback: Callable[[float], None]) -> None:
        self.callback: Callable[[float], None] | None = callback
        self.when = float("inf")

    def cancel(self) -> None:
        """Do not call any more."""
        self.callback = None


class Ticker:
    """Calls back with the instant, soon after the instants asked for and never before, earliest first."""

    def __init__(self, on_lag: Callable[[float], None] = lambda _: None) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_lag = on_lag
        self._instants: list[float] = []  # a heap
        self._lines: dict[float, deque[Alarm]] = {}  # who is to be called at each, in the order in which they asked
        self._armed_for = float("inf")
        self._demand = 0.0
        self.stretch, self.grain = 1.0, 0.0
        self._together: dict[object, Callable[[], None]] | None = None  # None: no alarms are going off
        self._timer: asyncio.TimerHandle | None = None
        self._fd = os.timerfd_create(time.CLOCK_MONOTONIC, flags=os.TFD_NONBLOCK | os.TFD_CLOEXEC) if _TIMERFD else -1
        if self._fd >= 0:
            self._loop.add_reader(self._fd, self._on_timerfd)

    def demand(self, wakes: float) -> None:
        """Add (or, negative, take away) wakes a second that some transfer asks for.

        `stretch` is how much larger than by nature a piece is to be for all of them to fit into the budget, `grain`
        of which seconds the instants best are multiples (0: of none).
        """
        self._demand += wakes
        self.stretch = max(1.0, (max(0.0, self._demand) / EASY) ** GROWTH, self._demand / BUDGET)
        self.grain = GRAIN * 2 ** min(3, floor(log2(1.2 * self.stretch))) if self._demand > BUSY else 0.0

    def call_at(self, when: float, callback: Callable[[float], None]) -> Alarm:
        """Call `callback(now)` at instant `when`, as `set` does."""
        alarm = Alarm(callback)
        self.set(alarm, when)
        return alarm

    def set(self, alarm: Alarm, when: float) -> None:
        """Have an alarm that is not set go off at instant `when` of the monotonic clock, or the grain's next multiple.

        Of those for one instant, who asked first is called first: so turn after turn they keep their order.
        """
        if self.grain:
            when = ceil(when / self.grain - 1e-6) * self.grain
        alarm.when = when
        line = self._lines.get(when)
        if line is None:
            line = self._lines[when] = deque()
            heapq.heappush(self._instants, when)
            if when < self._armed_for:
                self._arm(when)
        line.append(alarm)

    def together(self, what: object, callback: Callable[[], None]) -> None:
        """Call back once for all alarms that go off now and ask for `what`, after the last; otherwise at once."""
        if self._together is None:
            callback()
        else:
            self._together[what] = callback

    def close(self) -> None:
        """Call nobody any more."""
        self._instants.clear()
        self._lines.clear()
        if self._timer:
            self._timer.cancel()
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _arm(self, when: float) -> None:
        self._armed_for = when
        if self._fd >= 0:
            os.timerfd_settime(self._fd, flags=os.TFD_TIMER_ABSTIME, initial=max(when, 1e-9))
            return
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._fire)

    def _on_timerfd(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:  # set anew since it fired
            return
        self._fire()

    def _fire(self) -> None:
        instants, lines, now = self._instants, self._lines, monotonic()
        end = now + TURN
        self._on_lag(max(0.0, now - self._armed_for))
        self._together = {}
        self._armed_for = float("-inf")  # callbacks need not arm: it is done below
        while instants and instants[0] <= now <= end:
            line = lines[instants[0]]
            callback = line.popleft().callback
            if not line:
                del lines[heapq.heappop(instants)]
            if callback:
                try:
                    callback(now)
                except Exception:  # what fails must not keep the others from being called
                    logger.exception("An alarm failed.")
            now = monotonic()
        together, self._together = self._together, None
        for each in together.values():
            try:
                each()
            except Exception:
                logger.exception("An alarm failed.")
        self._armed_for = float("inf")
        if instants:
            self._arm(instants[0])


_TIMERFD = hasattr(os, "timerfd_create")

"""What a policy would have cost, computed on real arrivals, delaying nothing.

The estimate is open-loop: the arrivals are those of a transfer that was not slowed. A client that is slowed asks for
less, gives up, or comes back, and its origin sends otherwise; none of that is in the number.
"""

from heapq import heappop, heappush
from itertools import count

from shaper.pacing.pacer import Pacer

COARSE = 4.0
"""Pieces this many times larger than live ones: what counts is the end, and computing it must cost little."""

STEPS = 2000
"""In so many steps at most the rest of a transfer is computed when it ends: 2 GB would take seconds at 150 kbit/s."""

_ZEROS = memoryview(bytes(2**17))


class Stage:
    """Where shadows are served, each when its piece is due, as transfers are by the ticker.

    A transfer's cost is asked for when it really ends, and then the rest of its shadow is still in line. So imagined
    time runs ahead to its end, for all. That changes nothing for whoever shares no bucket; of those who do, the bytes
    that have yet to come are served after those that are there.
    """

    def __init__(self) -> None:
        self._line: list[tuple[float, int, Shadow]] = []
        self._numbers = count()

    def enter(self, at: float, shadow: "Shadow") -> None:
        """Have a shadow served at this instant."""
        heappush(self._line, (at, next(self._numbers), shadow))

    def run(self, until: float) -> None:
        """Serve all who are due."""
        while self._line and self._line[0][0] <= until:
            self.serve(COARSE)

    def serve(self, stretch: float) -> None:
        """Serve the next in line."""
        at, _, shadow = heappop(self._line)
        shadow.step(at, stretch)

    @property
    def backlog(self) -> int:
        """The bytes that all who are in line have yet to pass."""
        return sum(shadow.backlog for _, _, shadow in self._line)


class Shadow:
    """One transfer under one policy that is not in force. `name` is the policy's study."""

    def __init__(self, name: str, pacer: Pacer, stage: Stage) -> None:
        self.name = name
        self._pacer = pacer
        self._stage = stage
        self._is_waiting = False
        self._at = float("-inf")  # when it was last served

    @property
    def backlog(self) -> int:
        """The bytes that have yet to pass."""
        return self._pacer.backlog

    def push(self, size: int, now: float) -> None:
        """Note that `size` bytes arrived."""
        self._stage.run(now)
        while size > 0:
            part = min(size, len(_ZEROS))
            self._pacer.push(_ZEROS[:part], now)  # type: ignore[arg-type]
            size -= part
        if not self._is_waiting:
            self.step(now, COARSE)

    def step(self, at: float, stretch: float) -> None:
        """Pass what is due at this instant, and get in line again for the rest."""
        self._at = at
        _, wake_at = self._pacer.release(at, stretch)
        self._is_waiting = wake_at is not None
        if wake_at is not None:
            self._stage.enter(max(at, wake_at), self)

    def cost(self, now: float) -> float | None:
        """Return by how many seconds the end, which is now, would have been later; None: it would never have come."""
        stretch = max(COARSE, self._stage.backlog / (STEPS * (self._pacer.quantum or 1)))
        while self._is_waiting:
            self._stage.serve(stretch)
        return None if self.backlog else max(0.0, self._at - now)

"""What a policy would have cost, computed on real arrivals, delaying nothing.

The estimate is open-loop: the arrivals are those of a transfer that was not slowed. A client that is slowed asks for
less, gives up, or comes back, and its origin sends otherwise; none of that is in the number.
"""

from shaper.pacing.pacer import Pacer

COARSE = 25.0
"""Pieces this many times larger than live ones: what counts is the end, and computing it must cost next to nothing."""

STEPS = 2000
"""In so many steps at most the rest of a transfer is computed when it ends: 2 GB would take seconds at 150 kbit/s."""

_ZEROS = memoryview(bytes(2**17))


class Shadow:
    """One transfer under one policy that is not in force. `name` is the policy's study."""

    def __init__(self, name: str, pacer: Pacer) -> None:
        self.name = name
        self._pacer = pacer
        self._wake_at: float | None = None

    def push(self, size: int, now: float) -> None:
        """Note that `size` bytes arrived."""
        self._run(now)
        while size > 0:
            part = min(size, len(_ZEROS))
            self._pacer.push(_ZEROS[:part], now)  # type: ignore[arg-type]
            size -= part
        if self._wake_at is None:
            self._wake_at = self._pacer.release(now, COARSE).wake_at

    def cost(self, now: float) -> float | None:
        """Return by how many seconds the end, which is now, would have been later; None: it would never have come."""
        end = now
        stretch = max(COARSE, self._pacer.backlog / (STEPS * (self._pacer.quantum or 1)))
        while self._wake_at is not None:
            end = max(end, self._wake_at)
            self._run(end, stretch)
        return None if self._pacer.backlog else end - now

    def _run(self, until: float, stretch: float = COARSE) -> None:
        while self._wake_at is not None and self._wake_at <= until:
            self._wake_at = self._pacer.release(self._wake_at, stretch).wake_at

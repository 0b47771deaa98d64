"""One allowance a window: all at once, then silence until the next.

Law: the bytes due within one window are at most `rate * window`. Windows begin with the first byte after idling.
It reproduces the shape reported for Twitter in March 2021 ("16 KB within 100 ms, then nothing for 900 ms"),
not the packet loss behind it.
"""

from math import floor


class WindowBucket:
    """`rate` bytes/s granted as `rate * window` bytes at the start of every `window` seconds."""

    __slots__ = ("__weakref__", "_opens_at", "_used", "burst", "rate", "taker", "window")

    def __init__(self, rate: float, window: float) -> None:
        if not rate > 0 or not window > 0:
            raise ValueError(f"a window bucket needs rate > 0 and window > 0, not {rate} and {window}")
        self.rate = rate
        self.window = window
        self.burst = rate * window
        self.taker: object = None  # who reserved last, as callers say it
        self._opens_at = float("-inf")
        self._used = 0.0

    def reserve(self, size: int, at: float) -> float:
        """Reserve `size` bytes wanted at `at`; return when they are due. A piece wider than a window takes several."""
        if at >= self._opens_at + self.window:  # idle since the last window: a new one begins here
            self._opens_at, self._used = at, 0.0
        self._used += size
        # The last of the bytes decides: how many whole windows must pass before it is allowed?
        ahead = max(0, floor((self._used - 1e-6) / self.burst))
        self._opens_at += ahead * self.window
        self._used -= ahead * self.burst
        return max(at, self._opens_at)

    def is_full(self, now: float) -> bool:
        """Tell whether the current window is over and nothing is owed."""
        return now >= self._opens_at + self.window

"""One token bucket, as a due time.

Law: the bytes due within any interval of t seconds are at most `burst + rate * t`, where a piece larger than the burst
counts as the burst. The bucket is never polled: a caller reserves, is told the instant, and keeps to it. A reservation
is not given back.
"""


class TokenBucket:
    """Continuous refill at `rate` bytes/s; after idling, `burst` bytes are due at once.

    The state is one number: the instant at which everything reserved so far is paid for. That is the virtual
    scheduling form of the generic cell rate algorithm (ITU-T I.371, annex A).
    """

    __slots__ = ("__weakref__", "_paid_at", "burst", "rate", "taker")

    def __init__(self, rate: float, burst: float) -> None:
        if not rate > 0 or burst < 0:
            raise ValueError(f"a token bucket needs rate > 0 and burst >= 0, not {rate} and {burst}")
        self.rate = rate
        self.burst = burst
        self.taker: object = None  # who reserved last, as callers say it
        self._paid_at = float("-inf")

    def reserve(self, size: int, at: float) -> float:
        """Reserve `size` bytes wanted at instant `at`; return the instant, not before `at`, at which they are due."""
        full_at = at - self.burst / self.rate
        self._paid_at = max(self._paid_at, full_at) + size / self.rate
        return max(at, self._paid_at)

    def is_full(self, now: float) -> bool:
        """Tell whether the bucket has nothing left to remember: forgetting it then changes no future due time."""
        return self._paid_at <= now - self.burst / self.rate

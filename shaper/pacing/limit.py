"""What a cap asks of a bucket, in bytes and seconds. The policy floor translates its caps to these."""

from dataclasses import dataclass
from enum import StrEnum

from shaper.pacing.token_bucket import TokenBucket
from shaper.pacing.window_bucket import WindowBucket

type Bucket = TokenBucket | WindowBucket


class Scope(StrEnum):
    """Whom one bucket serves, from the narrowest to the widest."""

    RESPONSE = "response"
    CONNECTION = "connection"
    CLIENT = "client"
    AGGREGATE = "aggregate"


class Manner(StrEnum):
    """How bytes over the rate are treated. The names say what is done, not what it resembles."""

    SMOOTH = "smooth"  # delayed, continuous refill
    WINDOW = "window"  # delayed, the whole allowance at once and then silence
    POLICE = "police"  # dropped by the kernel; no bucket in user space


def quantum(rate: float) -> int:
    """Return the piece, in bytes, for a cap of `rate` bytes/s.

    20 ms of rate keeps the line smooth at low rates; from 400 kbit/s on, 1 kB, and from 3.2 Mbit/s on, 2.5 ms of
    rate, keep the distance from the ideal line below 1.5 kB or 10 ms of rate with room for a late wake. What is made
    at once is late by the time that it takes: of a body of 16 ms, half a percent with pieces of 5 ms.
    """
    return max(1, round(min(0.020 * rate, max(1000.0, 0.0025 * rate))))


@dataclass(frozen=True, slots=True)
class Limit:
    """One bucket's law: `rate` bytes/s, `burst` bytes (smooth), `window` seconds (window)."""

    scope: Scope
    rate: float
    burst: float
    manner: Manner = Manner.SMOOTH
    window: float = 1.0

    def make_bucket(self) -> Bucket:
        """Return a fresh, full bucket. POLICE has none here.

        A shared bucket holds at least one quantum: with less, it would lose what refills while a piece waits in line.
        """
        match self.manner:
            case Manner.SMOOTH:
                least = 0 if self.scope is Scope.RESPONSE else quantum(self.rate)
                return TokenBucket(self.rate, max(self.burst, least))
            case Manner.WINDOW:
                return WindowBucket(self.rate, self.window)
            case Manner.POLICE:
                raise ValueError("police drops packets in the kernel; it has no bucket in user space")

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


@dataclass(frozen=True, slots=True)
class Limit:
    """One bucket's law: `rate` bytes/s, `burst` bytes (smooth), `window` seconds (window)."""

    scope: Scope
    rate: float
    burst: float
    manner: Manner = Manner.SMOOTH
    window: float = 1.0

    def make_bucket(self) -> Bucket:
        """Return a fresh, full bucket. POLICE has none here."""
        match self.manner:
            case Manner.SMOOTH:
                return TokenBucket(self.rate, self.burst)
            case Manner.WINDOW:
                return WindowBucket(self.rate, self.window)
            case Manner.POLICE:
                raise ValueError("police drops packets in the kernel; it has no bucket in user space")

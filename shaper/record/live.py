"""One transfer while it lasts: what is noted on the way, frozen by `finish` into a TransferRecord."""

from dataclasses import dataclass, field
from datetime import datetime
from secrets import token_hex

from shaper.pacing.limit import Manner
from shaper.policy.model import Policy
from shaper.policy.verdict import Verdict
from shaper.record.transfer import Ledger, Outcome, TransferRecord, Wait

MEASURABLE = 0.02
"""Seconds of pacing below which an achieved rate says nothing."""


TELLING = 0.5
"""Seconds of pacing from which a rate that is off says something about the proxy, and not about a few pieces."""

OUT_OF_TOLERANCE = "out-of-tolerance"


@dataclass(slots=True, eq=False)
class LiveTransfer:
    """Instants are on the monotonic clock; `wall` is the time of day at `start`."""

    policy: Policy
    start: float
    wall: datetime
    client: str | None = None
    direction: str = "down"
    level: str = "media"
    client_protocol: str = ""
    origin_protocol: str = ""
    status: int = 0
    certificate: str | None = None
    verdict: Verdict | None = None
    headers_at: float | None = None
    first_at: float | None = None
    received_at: float | None = None
    received: int = 0
    size: int = 0
    backlog_peak: int = 0
    gated: float = 0.0
    paced_size: int = 0
    paced_time: float = 0.0
    steady: bool = False
    estimate: dict[str, float | None] = field(default_factory=dict)  # by shadow policy; None: it would never end
    ledger: Ledger = field(init=False)
    finished: bool = False

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.start)

    def judged(self, verdict: Verdict, now: float) -> None:
        """Note that the response's headers are in and what was decided."""
        self.verdict = verdict
        if self.headers_at is None:
            self.headers_at = now
            self.ledger.enter(Wait.RECEIVING, now)

    def took(self, size: int, now: float) -> None:
        """Note `size` bytes from the origin."""
        self.received += size
        self.received_at = now

    def held(self, backlog: int) -> None:
        """Note how many bytes stay behind."""
        self.backlog_peak = max(self.backlog_peak, backlog)

    def gave(self, size: int, now: float, waited: float) -> None:
        """Note `size` bytes passed on, after the shaper held them for `waited` seconds (0: not, or the last of them).

        The rate is measured from one wait to the next, so that neither a burst nor what a bucket earned while the
        origin was slow counts: the first wait only empties the bucket. Nor does a wait that ends with the last byte
        held, which may have been for more than there was: a whole window.
        """
        self.first_at = now if self.first_at is None else self.first_at
        self.size += size
        if waited and self.steady:
            self.paced_size += size
            self.paced_time += waited
        self.steady = waited > 0

    def finish(self, outcome: Outcome, now: float, tolerance: float | None = None) -> TransferRecord:
        """Freeze. The ledger's parts sum to the duration. With a tolerance, a rate further off its cap is flagged."""
        duration = self.ledger.close(now)
        verdict, seconds = self.verdict, self.ledger.seconds
        limits = verdict.limits if verdict and verdict.shaped else ()
        tightest = min(limits, key=lambda limit: limit.rate, default=None)
        achieved = self.paced_size * 8 / self.paced_time if self.paced_time >= MEASURABLE else None
        ratio = achieved / (tightest.rate * 8) if achieved and tightest else None
        self.finished = True
        return TransferRecord(
            id=token_hex(8),
            time=self.wall.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            study=self.policy.study,
            policy=self.policy.digest,
            certificate=self.certificate,
            mode=self.policy.mode,
            client=self.client,
            arm=verdict.arm if verdict else "",
            phase=verdict.phase if verdict else "",
            level=self.level,
            direction=self.direction,
            target=verdict.target if verdict else "",
            rule=verdict.rule.name if verdict and verdict.rule else "",
            media=verdict.media if verdict else "other",
            evidence=verdict.evidence if verdict else "none",
            reason=verdict.reason if verdict else "error",
            manner=tightest.manner if tightest else "",
            scope=tightest.scope if tightest else "",
            rate=tightest.rate * 8 if tightest else None,
            burst=int(tightest.burst) if tightest and tightest.manner is not Manner.WINDOW else None,
            client_protocol=self.client_protocol,
            origin_protocol=self.origin_protocol,
            status=self.status,
            outcome=outcome,
            size=self.size,
            received=self.received,
            origin_ttfb=None if self.headers_at is None else self.headers_at - self.start,
            client_ttfb=None if self.first_at is None else self.first_at - self.start,
            origin_duration=None if self.received_at is None else self.received_at - self.start,
            duration=duration,
            waiting=seconds[Wait.ORIGIN],
            receiving=seconds[Wait.RECEIVING],
            held=seconds[Wait.SHAPER],
            stalled=seconds[Wait.CLIENT],
            gated=self.gated,
            backlog_peak=self.backlog_peak,
            achieved=achieved,
            estimate={name: cost for name, cost in self.estimate.items() if cost is not None} or None,
            flags=self._flags(ratio, tolerance),
            rate_ratio=ratio,
        )

    def _flags(self, ratio: float | None, tolerance: float | None) -> tuple[str, ...]:
        flags = [f"would-freeze:{name}" for name, cost in self.estimate.items() if cost is None]
        if ratio is not None and tolerance is not None and self.paced_time >= TELLING and abs(ratio - 1) > tolerance:
            flags.append(OUT_OF_TOLERANCE)
        return tuple(flags)

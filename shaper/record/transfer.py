"""One transfer: a live ledger of where its time went, frozen at the end into a record.

At any instant a transfer is in exactly one `Wait`, so the parts of the ledger sum to the client's time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol

type Schema = Literal["shaper.transfer/1"]
SCHEMA: Schema = "shaper.transfer/1"


class Wait(StrEnum):
    """What a transfer is waiting for. Exactly one holds at any time."""

    ORIGIN = "origin"  # request in, no response yet
    RECEIVING = "receiving"  # response begun, nothing to pass on: more is to come from the origin
    SHAPER = "shaper"  # bytes are here and held back by a bucket, latency or freeze
    CLIENT = "client"  # bytes are due and the client does not take them


class Outcome(StrEnum):
    """How a transfer ended."""

    COMPLETE = "complete"
    CLIENT_ABORT = "client-abort"
    ORIGIN_ABORT = "origin-abort"
    BLOCKED = "blocked"
    SHUTDOWN = "shutdown"


class Ledger:
    """Seconds spent in each `Wait`, kept by saying which one begins when."""

    __slots__ = ("_now", "_since", "seconds")

    def __init__(self, start: float) -> None:
        self._now = Wait.ORIGIN
        self._since = start
        self.seconds = dict.fromkeys(Wait, 0.0)

    @property
    def waits_for(self) -> Wait:
        """What the transfer is waiting for now."""
        return self._now

    def enter(self, wait: Wait, at: float) -> None:
        """Note that from instant `at` on the transfer waits for `wait`."""
        self.seconds[self._now] += at - self._since
        self._now, self._since = wait, at

    def close(self, at: float) -> float:
        """End the account at instant `at` and return the duration: the sum of the parts, to the last bit."""
        self.enter(self._now, at)
        return sum(self.seconds[wait] for wait in Wait)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferRecord:
    """What happened to one message body (or one direction of a tunnel). Times are seconds, sizes bytes, rates bits/s.

    No URL, query, cookie, body, host or client address: a target is named as the policy names it.
    """

    schema: Schema = SCHEMA
    id: str  # random, to find the line from an exemplar
    time: str  # start, RFC 3339 UTC
    study: str
    policy: str  # digest
    certificate: str | None = None  # digest of the calibration certificate in force
    mode: str = "enforce"
    client: str | None = None  # pseudonym
    arm: str = ""
    phase: str = ""
    level: str = "media"
    direction: str = "down"
    target: str = ""
    rule: str = ""
    media: str = "other"
    evidence: str = "none"
    reason: str
    manner: str = ""  # of the tightest cap
    scope: str = ""  # of the tightest cap
    rate: float | None = None  # configured, bits/s, of the tightest cap
    burst: int | None = None
    client_protocol: str = ""  # h1, h2, h3, tunnel
    origin_protocol: str = ""
    status: int = 0
    outcome: Outcome
    size: int  # body bytes passed to the client
    received: int  # body bytes taken from the origin
    origin_ttfb: float | None  # request in → response headers from the origin
    client_ttfb: float | None  # request in → first body byte (or end) to the client
    origin_duration: float | None  # request in → last byte from the origin
    duration: float  # request in → last byte to the client
    waiting: float  # ledger: on the origin, before the response
    receiving: float  # ledger: on the origin, within the response
    held: float  # ledger: by the shaper
    stalled: float  # ledger: by the client
    gated: float = 0.0  # how long the origin was held back
    backlog_peak: int = 0
    achieved: float | None = None  # bits/s over the paced bytes; None when too short to tell
    rate_ratio: float | None = None  # achieved / configured
    estimate: Mapping[str, float] | None = None  # shadow: policy → seconds it would have added (open-loop)
    flags: tuple[str, ...] = ()  # e.g. "out-of-tolerance"

    def waits(self) -> Iterator[tuple[Wait, float]]:
        """Yield the ledger's parts. They sum to `duration`."""
        yield Wait.ORIGIN, self.waiting
        yield Wait.RECEIVING, self.receiving
        yield Wait.SHAPER, self.held
        yield Wait.CLIENT, self.stalled


class Recorder(Protocol):
    """A sink of records: metrics, journal, a volunteer's own list."""

    def record(self, record: TransferRecord) -> None:
        """Take one finished transfer. Must not raise and must not block."""

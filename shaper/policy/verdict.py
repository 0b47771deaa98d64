"""The decision for one message: which rule, why, which limits. Total: whatever the facts, there is a verdict.

When nothing is known or nothing applies, the verdict is to pass unshaped with a counted reason. `judge` decides.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from shaper.pacing.limit import Limit
from shaper.policy.media import Evidence, MediaClass
from shaper.policy.model import Direction, Rule


class Reason(StrEnum):
    """Why a message is shaped or passes. A closed list: it labels metrics."""

    MATCHED = "matched"  # a rule with caps, latency, freeze or block applies
    UNCAPPED = "uncapped"  # the rule that applies asks for nothing (a control), or for nothing in this direction
    SHADOW = "shadow"  # would be shaped; only computed
    NO_RULE = "no-rule"  # targeted, but no rule is about this media class
    UNTARGETED = "untargeted"
    NEVER = "never"  # on the never-intercept list
    ARM = "arm"  # the rules are for other arms than the client's
    ACCESS = "access"  # the rules are for other kinds of access
    ROLLOUT = "rollout"  # the client is outside the rollout's share
    PHASE = "phase"  # no phase that the rules name is in force
    BODILESS = "bodiless"  # HEAD, 1xx, 204, 205, 304, CONNECT, empty
    UPGRADE = "upgrade"  # WebSocket or another protocol switch
    EVENT_STREAM = "event-stream"  # server-sent events
    NO_CONSENT = "no-consent"
    PAUSED = "paused"
    OVER_BUDGET = "over-budget"
    ERROR = "error"  # the decision itself failed: passed unshaped


@dataclass(frozen=True, slots=True)
class Person:
    """What is known of the client: no address, only attributes that an operator or the person gave."""

    pseudonym: str | None = None  # a keyed hash; stable within a study
    access: str | None = None  # "mobile", "fixed" or unknown
    arm: str | None = None  # forced arm, else assigned by keyed hash


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a message when its headers are in. All names lower-case; absent facts are empty."""

    host: str
    method: str = "GET"
    status: int = 200
    path: str = "/"
    content_type: tuple[str, ...] = ()  # every field value, in order
    content_length: int | None = None
    fetch_dest: str = ""
    upgrade: bool = False
    head: bytes = b""  # the body's first bytes, when they are in
    up: bool = False  # True: this is a request's body


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision. `limits` go from the narrowest scope to the widest; there are none when nothing is capped."""

    reason: Reason
    media: MediaClass = MediaClass.OTHER
    evidence: Evidence = Evidence.NONE
    target: str = ""
    rule: Rule | None = None
    limits: tuple[Limit, ...] = ()
    arm: str = ""
    phase: str = ""

    @property
    def shaped(self) -> bool:
        """Whether the message's bytes are to be delayed (or policed, frozen, blocked)."""
        return self.reason is Reason.MATCHED

    def towards(self, direction: Direction) -> "Verdict":
        """Return what the verdict on a connection says of one direction: a rule for the other asks nothing of it."""
        if self.rule is None or self.rule.direction in {direction, Direction.BOTH}:
            return self
        return replace(self, reason=Reason.UNCAPPED, limits=())

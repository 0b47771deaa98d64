"""What the control API asks of the running proxy. Every call may come from any thread.

Calls that change something raise RefusedError, or PolicyError, in one line, when it cannot be done; then nothing has
changed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, Self

from shaper.policy.dry_run import Seen
from shaper.policy.judge import Judge
from shaper.policy.model import Policy
from shaper.record.live import LiveTransfer


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The proxy at a glance. Sizes are bytes."""

    version: str
    listen: str  # HOST:PORT
    started: str  # RFC 3339
    study: str
    policy: str  # digest
    mode: str
    phases: tuple[str, ...]  # in force now
    held_phase: str | None  # the phase that study time is held in, if any
    paused: bool  # everything passes unshaped
    transfers: int  # under way
    backlog: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Underway:
    """One transfer under way. Times are seconds, sizes bytes, rates bits per second."""

    client: str | None  # pseudonym
    target: str
    rule: str
    reason: str
    media: str
    arm: str
    direction: str
    protocol: str
    waits_for: str  # origin, receiving, shaper, client
    age: float
    size: int  # passed on so far
    backlog: int  # taken from the origin, not passed on yet
    rate: float | None  # configured, of the tightest cap

    @classmethod
    def of(cls, transfer: LiveTransfer, now: float) -> Self:
        """Return how a transfer stands at this instant."""
        verdict = transfer.verdict
        limits = verdict.limits if verdict and verdict.shaped else ()
        return cls(
            client=transfer.client,
            target=verdict.target if verdict else "",
            rule=verdict.rule.name if verdict and verdict.rule else "",
            reason=verdict.reason if verdict else "",
            media=verdict.media if verdict else "",
            arm=verdict.arm if verdict else "",
            direction=transfer.direction,
            protocol=transfer.client_protocol,
            waits_for=transfer.ledger.waits_for,
            age=now - transfer.start,
            size=transfer.size,
            backlog=max(0, transfer.received - transfer.size),
            rate=min((limit.rate * 8 for limit in limits), default=None),
        )


class Controls(Protocol):
    """The running proxy, as the lab may see and change it."""

    def status(self) -> Status:
        """Return the proxy at a glance."""

    def policy(self) -> Policy:
        """Return the policy in force."""

    def judge(self, policy: Policy | None = None) -> Judge:
        """Return the judge in force, or one for another policy under the same study key."""

    def recent(self) -> Iterable[Seen]:
        """Return the latest decisions' questions."""

    def study_time(self) -> datetime:
        """Return the present study time."""

    def apply(self, policy: Policy) -> None:
        """Put another policy in force. Transfers under way keep their verdict."""

    def reload(self) -> Policy:
        """Read the policy file again, put it in force and return it."""

    def set_phase(self, phase: str | None) -> None:
        """Hold study time in this phase of the policy, or let it go on (None)."""

    def pause(self) -> None:
        """Let everything pass unshaped and undecrypted until `resume`."""

    def resume(self) -> None:
        """Shape again."""

    def transfers(self) -> Sequence[Underway]:
        """Return the transfers of targets that are under way."""

"""A volunteer as others may know them, and where they stand, in one word."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from shaper.onboarding.consent import Consent
from shaper.policy.verdict import Reason


class State(StrEnum):
    """Only who is taking part is decrypted, slowed and recorded."""

    INVITED = "invited"  # has not consented yet
    TAKING_PART = "taking-part"
    PAUSED = "paused"  # by the person, or to rest after a long session
    OVER_BUDGET = "over-budget"  # until the next UTC day
    OUTDATED = "outdated"  # consented to a text that has changed since: must be asked anew
    EXPIRED = "expired"
    STOPPED = "stopped"  # withdrew

    @property
    def exempt(self) -> Reason | None:
        """Return why the proxy leaves this person alone, if it does."""
        return EXEMPT.get(self, Reason.NO_CONSENT)


EXEMPT: Mapping[State, Reason | None] = {
    State.TAKING_PART: None,
    State.PAUSED: Reason.PAUSED,
    State.OVER_BUDGET: Reason.OVER_BUDGET,
}


@dataclass(frozen=True, slots=True)
class Member:
    """A snapshot. Times are Unix seconds."""

    pseudonym: str
    state: State
    created: float
    access: str | None
    arm: str | None
    consent: Consent | None
    paused_until: float
    used: int  # bytes today


def state_of(
    consent: Consent | None, texts: Collection[str], paused_until: float, *, over_budget: bool, now: float
) -> State:
    """Return where somebody stands; `texts` are the digests in force, or nothing when any text will do."""
    if consent is None:
        return State.INVITED
    if consent.withdrawn is not None:
        return State.STOPPED
    if not consent.holds(now):
        return State.EXPIRED
    if texts and consent.text not in texts:
        return State.OUTDATED
    if now < paused_until:
        return State.PAUSED
    return State.OVER_BUDGET if over_budget else State.TAKING_PART

"""What becomes of a connection before a byte of it is read: intercepted, shaped whole, tunnelled or refused.

An untargeted host is tunnelled and never decrypted; so is a target of a client that takes no part.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from shaper.policy.verdict import Person, Reason, Verdict


class Admission(StrEnum):
    """What the proxy does with a connection to some host."""

    INTERCEPT = "intercepted"  # decrypted; single responses are judged by their media
    SHAPE = "shaped"  # shaped as opaque bytes under a connection-level rule; never decrypted
    TUNNEL = "tunnelled"  # relayed as it is; never decrypted
    REFUSE = "refused"  # not connected at all


@dataclass(frozen=True, slots=True)
class Admitted:
    """An admission and the verdict behind it (its rule and limits when the admission is SHAPE)."""

    admission: Admission
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Standing:
    """A client's part in the study: who it is to the policy, and the reason to leave it alone, if any."""

    person: Person = field(default_factory=Person)
    exempt: Reason | None = None  # NO_CONSENT, PAUSED, OVER_BUDGET: neither decrypted, shaped nor recorded


class Registry(Protocol):
    """Who may use the proxy, and on what terms. Called on every connection: fast, and must not raise."""

    def authenticate(self, username: str, password: str) -> str | None:
        """Return the client's key for these proxy credentials, or None when they are wrong."""

    def standing(self, client: str) -> Standing:
        """Return the standing of the client with this key."""

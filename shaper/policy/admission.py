"""What becomes of a connection before a byte of it is read: intercepted, shaped whole, tunnelled or refused.

An untargeted host is tunnelled and never decrypted; so is a target of a client that takes no part. Whoever takes part
has a target's connections treated alike in every arm and phase, so that arms differ only in what the rules ask for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from shaper.policy.judge import Judge
from shaper.policy.model import Block, Level
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
    """Who may use the proxy, and on what terms. Called on every request: fast, and must not raise."""

    def authenticate(self, username: str, password: str) -> str | None:
        """Return the client's key for these proxy credentials, or None when they are wrong."""

    def standing(self, client: str) -> Standing:
        """Return the standing of the client with this key, which is here."""

    def exempt(self, client: str) -> Reason | None:
        """Return why that client is to be left alone, if it is; asking says nothing of whether it is here."""


def admit(judge: Judge, hosts: Sequence[str], standing: Standing, now: datetime) -> Admitted:
    """Decide a connection from the names it is for, the most telling first: SNI, CONNECT name, Host.

    Any of them on the never list leaves it alone. The first that is targeted decides, so an untargeted CONNECT name
    does not hide a targeted SNI (the episodes' trigger), nor the other way round.
    """
    try:
        return _admit(judge, hosts, standing, now)
    except Exception:  # the law of the fallback: left alone, and counted
        return Admitted(Admission.TUNNEL, Verdict(Reason.ERROR))


def _admit(judge: Judge, hosts: Sequence[str], standing: Standing, now: datetime) -> Admitted:
    if any(judge.listing(host).never for host in hosts):
        return Admitted(Admission.TUNNEL, Verdict(Reason.NEVER))
    if standing.exempt:
        return Admitted(Admission.TUNNEL, Verdict(standing.exempt))
    host = next((host for host in hosts if judge.listing(host).target), None)
    if host is None:
        return Admitted(Admission.TUNNEL, Verdict(Reason.UNTARGETED))
    verdict = judge.decide_connection(host, standing.person, now)
    if verdict.rule is not None:
        refused = verdict.shaped and verdict.rule.block is Block.REFUSE
        return Admitted(Admission.REFUSE if refused else Admission.SHAPE, verdict)
    levels = {rule.level for rule in judge.listing(host).rules}
    if Level.MEDIA in levels:
        return Admitted(Admission.INTERCEPT, verdict)
    # No rule applies to this client now. It is still measured as the others are, or they could not be compared.
    return Admitted(Admission.SHAPE if levels else Admission.TUNNEL, verdict)

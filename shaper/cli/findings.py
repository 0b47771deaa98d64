"""What the demo found: each resource without and with shaping, by the client's clock and by the proxy's, and a verdict.

What ought to happen comes from the policy alone; what did happen from the client, and from the proxy's own records.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from shaper import __version__
from shaper.cli.visit import Page, Resource
from shaper.lab.payload import digest
from shaper.measure import line
from shaper.measure.fetched import Fetched
from shaper.measure.run import Outcome
from shaper.pacing.limit import Limit, Manner, Scope
from shaper.policy.model import Policy
from shaper.policy.units import format_share
from shaper.policy.verdict import Reason, Verdict
from shaper.record.transfer import TransferRecord

SCHEMA = "shaper.demo/1"
TELLING = 10_000  # bytes after the burst: with fewer, a rate is mostly chance
COLLATERAL = 0.25  # seconds by which something that is not slowed may be later than without shaping
AGREEMENT = 0.25  # seconds between the client's clock and the proxy's; both wait for the same event loop


@dataclass(frozen=True, slots=True)
class Trial:
    """One resource over one protocol."""

    resource: Resource
    protocol: str
    due: Verdict  # by the policy
    free: Fetched  # without shaping
    shaped: Fetched
    record: TransferRecord | None  # of the latter, by the proxy; None for what it tunnelled
    earlier: tuple[float, ...] = ()  # errors of tries before this one

    @property
    def limit(self) -> Limit | None:
        """The tightest cap that is due."""
        return min(self.due.limits, key=lambda limit: limit.rate) if self.due.shaped and self.due.limits else None

    @property
    def rate(self) -> float | None:
        """The client's rate after the burst in bit/s, if it is slowed and long enough to tell."""
        if self.limit is None or self.resource.body.size < self.limit.burst + TELLING:
            return None
        burst = int(self.limit.burst)
        at_once = 8 * (self.shaped.size - burst) / self.shaped.duration  # for a body that came in one read
        return line.rate(self.shaped.line, burst) or at_once

    @property
    def error(self) -> float | None:
        """How far the rate is off the cap, as a share; None when the cap is not this response's alone."""
        if self.limit is None or self.rate is None:
            return None
        if self.limit.scope is not Scope.RESPONSE or self.limit.manner is not Manner.SMOOTH:
            return None
        return self.rate / (8 * self.limit.rate) - 1

    @property
    def intact(self) -> bool:
        """Whether both bodies came whole, by the protocol asked for."""
        return all(
            each.outcome is Outcome.COMPLETE
            and (each.status, each.protocol) == (200, self.protocol)
            and each.sha256 == digest(self.resource.body)
            for each in (self.free, self.shaped)
        )

    @property
    def told_apart(self) -> bool:
        """Whether the proxy took it for what it is and did as the policy says."""
        if self.due.reason in (Reason.UNTARGETED, Reason.NEVER):
            return self.record is None
        if self.record is None:
            return False
        rule = self.due.rule.name if self.due.rule else ""
        told = (self.record.media, self.record.rule, self.record.reason)
        return told == (self.resource.media, rule, self.due.reason)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold, and in words how it stands."""

    name: str
    ok: bool
    says: str


@dataclass(frozen=True, slots=True)
class Findings:
    """All trials of one demo."""

    policy: Policy
    page: Page
    trials: Sequence[Trial]
    tolerance: float
    seconds: float

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks())

    def checks(self) -> Iterator[Check]:
        """Yield what must hold."""
        yield self._bodies()
        yield self._told_apart()
        yield self._rates()
        yield self._collateral()
        yield self._tunnelled()
        yield from self._clocks()

    def _bodies(self) -> Check:
        broken = [trial for trial in self.trials if not trial.intact]
        if broken:
            first = broken[0]
            why = first.shaped.error or first.free.error or "other bytes than were sent"
            return Check("bodies", False, f"{len(broken)} did not arrive whole; {_name(first)}: {why}")
        return Check("bodies", True, f"all {2 * len(self.trials)} verified by SHA-256")

    def _told_apart(self) -> Check:
        wrong = [trial for trial in self.trials if not trial.told_apart]
        if wrong:
            record = wrong[0].record
            says = f"{record.media}, rule {record.rule or 'none'}, {record.reason}" if record else "no record"
            return Check("classes", False, f"{_name(wrong[0])}: {says}; the policy says {wrong[0].due.reason}")
        return Check("classes", True, "every response was judged as the policy says")

    def _rates(self) -> Check:
        errors = [trial.error for trial in self.trials if trial.error is not None]
        if errors:
            low, high = min(errors), max(errors)
            earlier = [error for trial in self.trials for error in trial.earlier]
            off = ", ".join(f"{error:+.1%}" for error in earlier)
            says = f"{low:+.1%} to {high:+.1%} of the cap; {format_share(self.tolerance)} are allowed" + (
                f"; fetched again after being off by {off}: was the machine busy?" if earlier else ""
            )
            return Check("rates", max(-low, high) <= self.tolerance, says)
        if any(trial.limit for trial in self.trials):
            return Check("rates", True, "not judged: no cap is smooth and for single responses")
        return Check("rates", True, "this policy slows nothing now")

    def _collateral(self) -> Check:
        beside = [trial for trial in self.trials if not trial.due.shaped]
        later = [trial.shaped.duration - trial.free.duration for trial in beside]
        held = sum(trial.record.held for trial in beside if trial.record)
        worst = beside[later.index(max(later))]
        says = (
            f"the {len(beside)} that are not to be slowed took {1000 * median(later):+.0f} ms in the median, "
            f"{1000 * max(later):+.0f} ms at worst ({_name(worst)}); {1000 * COLLATERAL:.0f} ms are allowed"
        )
        if held:
            return Check("collateral", False, f"the proxy held {held:.3f} s of what is not to be slowed")
        return Check("collateral", max(later) <= COLLATERAL, says)

    def _tunnelled(self) -> Check:
        ok = all(trial.intact for trial in self.trials if trial.resource.host == self.page.elsewhere)
        says = "was not decrypted: its own certificate reached the client" if ok else "was not simply tunnelled"
        return Check("tunnel", ok, f"{self.page.elsewhere} {says}")

    def _clocks(self) -> Iterator[Check]:
        apart = [abs(trial.record.duration - trial.shaped.duration) for trial in self.trials if trial.record]
        if apart:
            says = f"client and proxy agree on every duration within {1000 * max(apart):.0f} ms"
            yield Check("clocks", max(apart) <= AGREEMENT, says)

    def as_json(self) -> dict[str, Any]:
        """Return all figures: rates in bit/s, times in seconds, sizes in bytes."""
        return {
            "schema": SCHEMA,
            "version": __version__,
            "study": self.policy.study,
            "policy": self.policy.digest,
            "tolerance": self.tolerance,
            "seconds": round(self.seconds, 3),
            "ok": self.ok,
            "checks": [{"name": check.name, "ok": check.ok, "says": check.says} for check in self.checks()],
            "trials": [_figures(trial) for trial in self.trials],
        }


def _name(trial: Trial) -> str:
    return f"{trial.resource.host}{trial.resource.path} over {trial.protocol}"


def _figures(trial: Trial) -> dict[str, Any]:
    record, shaped = trial.record, trial.shaped
    return {
        "host": trial.resource.host,
        "path": trial.resource.path,
        "protocol": trial.protocol,
        "media": record.media if record else None,
        "evidence": record.evidence if record else None,
        "rule": record.rule if record else None,
        "reason": record.reason if record else trial.due.reason,
        "cap": 8 * trial.limit.rate if trial.limit else None,
        "burst": trial.limit.burst if trial.limit else None,
        "achieved": trial.rate,
        "error": trial.error,
        "earlier_errors": trial.earlier,
        "achieved_by_proxy": record.achieved if record else None,
        "distance": line.distance(shaped.line, 8 * trial.limit.rate) if trial.limit else None,
        "longest_gap": line.longest_gap(shaped.line) if trial.limit else None,
        "without": trial.free.duration,
        "with": shaped.duration,
        "with_by_proxy": record.duration if record else None,
        "held": record.held if record else None,
        "size": shaped.size,
        "sha256": shaped.sha256,
        "intact": trial.intact,
    }

"""A study: everything that is said about a set of runs, computed once. Page, tables and files only show it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from shaper.measure import certificate
from shaper.measure.certificate import Certificate
from shaper.measure.run import Conditions, Run, RunError
from shaper.policy.refused import RefusedError
from shaper.report.behaviour import Behaviour, behaviours
from shaper.report.claim import Claim, claims
from shaper.report.comparison import Difference, differences
from shaper.report.completion import Completion, completions
from shaper.report.distribution import Distribution, distributions
from shaper.report.flow import flows
from shaper.report.ledger import Ledger, ledgers
from shaper.report.throughput import Throughput, throughputs
from shaper.report.waterfall import Waterfall, waterfalls


@dataclass(frozen=True, slots=True)
class Provenance:
    """What the proxies say that they were: policy and certificate of so many transfers."""

    arm: str
    policy: str
    certificate: str | None
    transfers: int


@dataclass(frozen=True, slots=True)
class Study:
    """The findings, with the conditions that they were made under. The first arm is the reference."""

    conditions: tuple[Conditions, ...]
    certificates: tuple[Certificate, ...]
    arms: tuple[str, ...]
    blocks: int
    provenance: tuple[Provenance, ...]
    distributions: tuple[Distribution, ...]
    throughputs: tuple[Throughput, ...]
    ledgers: tuple[Ledger, ...]
    waterfalls: tuple[Waterfall, ...]
    completions: tuple[Completion, ...]
    differences: tuple[Difference, ...]
    behaviours: tuple[Behaviour, ...]
    claims: tuple[Claim, ...]

    @property
    def reference(self) -> str:
        """The arm that the others are compared with."""
        return self.arms[0]

    @property
    def name(self) -> str:
        """The name of what was studied."""
        return ", ".join(dict.fromkeys(one.name for one in self.conditions))


def study(db: duckdb.DuckDBPyConnection, runs: Sequence[Run], against: str | None = None) -> Study:
    """Analyse the runs that `db` holds, comparing with the reference that they name or with `against`."""
    conditions = tuple(run.conditions for run in runs)
    certificates = _certificates(runs)
    arms = _arms(runs, against)
    known = {arm for (arm,) in db.execute("SELECT DISTINCT arm FROM samples").fetchall()}
    if strange := known - set(arms):
        raise RunError(f'{runs[0].path}: arm "{min(strange)}" has samples and is not in run.json; add it there')
    if not known:
        raise RunError(f"{runs[0].path}: there are no samples yet; run `shaper measure` first")
    by_proxy = db.execute("SELECT arm, policy, certificate, count(*) FROM transfers GROUP BY ALL ORDER BY ALL")
    provenance = tuple(Provenance(*row) for row in by_proxy.fetchall())
    shown = distributions(db, arms)
    accounts = ledgers(db, arms)
    compared = differences(db, arms, arms[0])
    kept = flows(db, arms)
    ((blocks,),) = db.execute("SELECT count(DISTINCT (run, block)) FROM samples").fetchall()
    return Study(
        conditions=conditions,
        certificates=certificates,
        arms=arms,
        blocks=blocks,
        provenance=provenance,
        distributions=tuple(shown),
        throughputs=tuple(throughputs(kept)),
        ledgers=tuple(accounts),
        waterfalls=tuple(waterfalls(db, arms)),
        completions=tuple(completions(db, arms)),
        differences=tuple(compared),
        behaviours=tuple(behaviours(kept, arms[0])),
        claims=tuple(claims(conditions, certificates, compared, shown, accounts)),
    )


def _arms(runs: Sequence[Run], against: str | None) -> tuple[str, ...]:
    """Return the arms of all runs, the reference first."""
    names = list(dict.fromkeys(arm.name for run in runs for arm in run.conditions.arms))
    references = {against} if against else {run.conditions.reference for run in runs}
    if len(references) > 1:
        named = ", ".join(sorted(map(str, references)))
        raise RunError(f"{runs[0].path}: the runs name several references ({named}); choose one with --against")
    (reference,) = references
    if reference not in names:
        raise RunError(f'{runs[0].path}: there is no arm "{reference}"; there are {", ".join(names)}')
    return (str(reference), *(name for name in names if name != reference))


def _certificates(runs: Sequence[Run]) -> tuple[Certificate, ...]:
    """Read the certificates that lie with the runs, each once."""
    try:
        found = [certificate.read(file) for run in runs for file in sorted(run.path.glob("certificate*.json"))]
    except RefusedError as error:
        raise RunError(str(error)) from None
    return tuple({one.digest: one for one in found}.values())


def open_runs(paths: Sequence[Path]) -> list[Run]:
    """Open each run once."""
    return [Run.open(path) for path in dict.fromkeys(path.resolve() for path in paths)]

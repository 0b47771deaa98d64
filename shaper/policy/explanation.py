"""Why a verdict is what it is: the host, the connection, the message, each rule in turn, and the outcome.

It asks the judge itself, so it cannot say anything else than what a run would do.
"""

from collections.abc import Iterator
from datetime import datetime

from shaper.policy.admission import Admission, Standing, admit
from shaper.policy.judge import Case, Judge
from shaper.policy.model import Direction
from shaper.policy.never import category
from shaper.policy.verdict import Facts, Person
from shaper.policy.words import ADMISSIONS, REASONS, effects, objection

type Line = tuple[str, str]


def explanation(judge: Judge, facts: Facts, person: Person, now: datetime, connection_only: bool) -> Iterator[Line]:
    """Yield labels and lines: what is decided for the connection and, if it is intercepted, for the message."""
    admitted = admit(judge, [facts.host], Standing(person), now)
    verdict, case = admitted.verdict, judge.connection_case(facts.host, person, now)
    if facts.up:
        verdict = verdict.towards(Direction.UP)
    yield "policy", f"{judge.policy.study}, {judge.policy.digest[:19]}"
    yield "host", f"{facts.host}: {_standing(judge, facts.host)}"
    yield "connection", ADMISSIONS[admitted.admission]
    intercepted = admitted.admission is Admission.INTERCEPT
    if intercepted and not connection_only:
        verdict, case = judge.decide(facts, person, now), judge.case(facts, person, now)
        if case.settled is None:
            yield "message", f"{case.media}, by {case.evidence}"
    if verdict.target and (judge.policy.arms or judge.policy.phases):
        yield "client", f"arm {case.arm or 'none'}; phases in force: {', '.join(case.phases) or 'none'}"
    if case.settled is None and verdict.target:
        yield from _trials(judge, case)
    if intercepted and connection_only:
        yield "verdict", "each response gets its own"
    else:
        yield "verdict", f"{verdict.reason}: {REASONS[verdict.reason]}"


def _standing(judge: Judge, host: str) -> str:
    listing = judge.listing(host)
    if listing.never:
        return f"never touched ({category(host) or 'the policy says so'})"
    return f"target {listing.target}" if listing.target else "no target"


def _trials(judge: Judge, case: Case) -> Iterator[Line]:
    listed = {rule.name for rule in judge.listing(case.host).rules}
    for rule in judge.policy.rules:
        if rule.name not in listed:
            yield "rule", f"{rule.name} is about target {rule.target}"
        elif obstacle := case.obstacle(rule):
            yield "rule", f"{rule.name} {objection(rule, obstacle, case)}"
        else:
            yield "rule", f"{rule.name} decides:"
            yield from (("", line) for line in effects(rule))
            return

"""A policy made ready to decide: each message and each connection gets a verdict, whatever its facts.

Rules are tried in the file's order; the first whose conditions all hold decides. When none does, the reason is the
condition that failed last among them, in the order of `Obstacle`: a rule that fails only for its arm says more than
one about other media. Anything that goes wrong in here is a verdict too: unshaped, for the reason `error`.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from shaper.policy import never
from shaper.policy.assignment import Assignment
from shaper.policy.content_type import essence
from shaper.policy.media import Evidence, MediaClass, classify
from shaper.policy.model import Direction, Level, Mode, Policy, Rule
from shaper.policy.schedule import in_force
from shaper.policy.target import HostSet
from shaper.policy.verdict import Facts, Person, Reason, Verdict

REMEMBERED = 4096  # hosts and clients whose look-ups are kept


class Obstacle(IntEnum):
    """The conditions of a rule, in the order in which they are tried."""

    LEVEL = 1
    DIRECTION = 2
    MEDIA = 3
    ACCESS = 4
    ARM = 5
    PHASE = 6
    ROLLOUT = 7

    @property
    def reason(self) -> Reason:
        return _REASONS.get(self, Reason.NO_RULE)


_REASONS = {
    Obstacle.ACCESS: Reason.ACCESS,
    Obstacle.ARM: Reason.ARM,
    Obstacle.PHASE: Reason.PHASE,
    Obstacle.ROLLOUT: Reason.ROLLOUT,
}


class Case(NamedTuple):
    """All that rules are tried against: what a message is, or a whole connection, and whose."""

    host: str
    level: Level
    access: str | None
    arm: str
    place: float
    phases: tuple[str, ...]
    media: MediaClass = MediaClass.OTHER
    evidence: Evidence = Evidence.NONE
    up: bool = False
    settled: Reason | None = None  # a reason to pass unshaped that no rule can change

    def obstacle(self, rule: Rule) -> Obstacle | None:
        """Return the first condition of the rule that does not hold."""
        return self._obstacle_in_message(rule) or self.obstacle_in_client(rule)

    def _obstacle_in_message(self, rule: Rule) -> Obstacle | None:
        if rule.level is not self.level:
            return Obstacle.LEVEL
        if rule.level is Level.CONNECTION:
            return None
        if rule.direction is (Direction.DOWN if self.up else Direction.UP):
            return Obstacle.DIRECTION
        return None if self.media in rule.media else Obstacle.MEDIA

    def obstacle_in_client(self, rule: Rule) -> Obstacle | None:
        """Return the first condition of the rule that does not hold for the client, whatever the message."""
        if rule.access and self.access not in rule.access:
            return Obstacle.ACCESS
        if rule.arms and self.arm not in rule.arms:
            return Obstacle.ARM
        if rule.phases and not any(phase in self.phases for phase in rule.phases):
            return Obstacle.PHASE
        return None if self.place < rule.rollout else Obstacle.ROLLOUT


@dataclass(frozen=True, slots=True)
class Listing:
    """What the policy says of a host: the target that lists it, and every rule about it, in order."""

    target: str = ""
    rules: tuple[Rule, ...] = ()
    never: bool = False


class Judge:
    """One policy, compiled. `key` is the study's secret for arms and rollouts. Times are study times."""

    def __init__(self, policy: Policy, key: bytes = b"") -> None:
        self.policy = policy
        self._assignment = Assignment(key, policy.study, policy.arms)
        self._never = HostSet(policy.never)
        self._targets = {name: HostSet(target.hosts) for name, target in policy.targets.items()}
        self.listing = lru_cache(REMEMBERED)(self._list)
        self._drawn = lru_cache(REMEMBERED)(self._assignment.draw)
        self._verdict = lru_cache(REMEMBERED)(self._judge)

    def decide(self, facts: Facts, person: Person, now: datetime) -> Verdict:
        """Return the verdict on one message. Never raises."""
        try:
            listing = self.listing(facts.host)
            return self._verdict(self.case(facts, person, now)) if listing.rules else _unlisted(listing)
        except Exception:  # the law of the fallback: unshaped, and counted
            return Verdict(Reason.ERROR)

    def decide_connection(self, host: str, person: Person, now: datetime) -> Verdict:
        """Return the verdict of the connection-level rules on a whole connection. Never raises."""
        try:
            listing = self.listing(host)
            return self._verdict(self.connection_case(host, person, now)) if listing.rules else _unlisted(listing)
        except Exception:  # the law of the fallback: unshaped, and counted
            return Verdict(Reason.ERROR)

    def decide_plain(self, facts: Facts, person: Person, now: datetime) -> Verdict:
        """Return the verdict on a message that no tunnel hides: connection rules come first. Never raises."""
        verdict = self.decide_connection(facts.host, person, now)
        if verdict.rule is None:
            return self.decide(facts, person, now)
        return verdict.towards(Direction.UP if facts.up else Direction.DOWN)

    def case(self, facts: Facts, person: Person, now: datetime) -> Case:
        """Return what a message's rules are tried against."""
        settled = unshapeable(facts)
        media, evidence = MediaClass.OTHER, Evidence.NONE
        if settled is None:
            media, evidence = classify(facts.content_type, facts.head, facts.fetch_dest, facts.path)
        phases = in_force(self.policy.phases, now)
        arm, place = self._drawn(person)
        return Case(facts.host, Level.MEDIA, person.access, arm, place, phases, media, evidence, facts.up, settled)

    def connection_case(self, host: str, person: Person, now: datetime) -> Case:
        """Return what a connection's rules are tried against."""
        phases = in_force(self.policy.phases, now)
        arm, place = self._drawn(person)
        return Case(host, Level.CONNECTION, person.access, arm, place, phases)

    def _judge(self, case: Case) -> Verdict:
        listing = self.listing(case.host)
        verdict = Verdict(
            case.settled or Reason.NO_RULE,
            case.media,
            case.evidence,
            listing.target,
            arm=case.arm,
            phase="+".join(case.phases),
        )
        furthest = Obstacle.LEVEL
        for rule in listing.rules if case.settled is None else ():
            obstacle = case.obstacle(rule)
            if obstacle is None:
                return replace(verdict, reason=self._reason(rule), target=rule.target, rule=rule, limits=rule.limits)
            furthest = max(furthest, obstacle)
        return replace(verdict, reason=case.settled or furthest.reason)

    def _reason(self, rule: Rule) -> Reason:
        if not rule.asks_for_something:
            return Reason.UNCAPPED
        return Reason.SHADOW if self.policy.mode is Mode.SHADOW else Reason.MATCHED

    def _list(self, host: str) -> Listing:
        if host in self._never or never.category(host):
            return Listing(never=True)
        targets = [name for name, hosts in self._targets.items() if host in hosts]
        rules = tuple(rule for rule in self.policy.rules if rule.target in targets)
        return Listing(targets[0] if targets else "", rules)


def unshapeable(facts: Facts) -> Reason | None:
    """Return why a message of this kind is never shaped, whatever the rules."""
    if facts.upgrade or facts.status == 101:
        return Reason.UPGRADE
    if facts.method == "CONNECT" or facts.content_length == 0:
        return Reason.BODILESS
    if not facts.up and (facts.method == "HEAD" or facts.status < 200 or facts.status in {204, 205, 304}):
        return Reason.BODILESS
    if any(essence([value]) == "text/event-stream" for value in facts.content_type):
        return Reason.EVENT_STREAM
    return None


def _unlisted(listing: Listing) -> Verdict:
    if listing.never:
        return Verdict(Reason.NEVER)
    return Verdict(Reason.NO_RULE if listing.target else Reason.UNTARGETED, target=listing.target)

"""What another policy would have decided of what was decided lately: counts of changed outcomes, no names.

`Recent` keeps the newest questions in memory: about targets, of people who take part, and of nothing else, stripped of
all that a decision does not need once the media class is known: no path, no body, no address. So a dry run cannot tell
what a new target would catch; `shaper lint` can. Pure: study time is an argument.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from shaper.policy.admission import Admitted, Standing, admit
from shaper.policy.judge import Judge
from shaper.policy.media import MediaClass
from shaper.policy.verdict import Facts, Verdict

KEPT = 2000


@dataclass(frozen=True, slots=True)
class Seen:
    """One decision's question: a connection to `hosts`, or a message when there are facts."""

    standing: Standing
    hosts: tuple[str, ...] = ()
    facts: Facts | None = None


@dataclass(frozen=True, slots=True, order=True)
class Decision:
    """A decision in the words of the closed lists: what is done, why, and by which rule."""

    action: str  # of a connection: intercepted, shaped, tunnelled, refused; of a message: its media class
    reason: str
    rule: str


@dataclass(frozen=True, slots=True)
class Change:
    """How many decisions went from one to another."""

    before: Decision
    after: Decision
    count: int


class Recent:
    """The newest questions. Appending costs a microsecond, so the event loop may."""

    def __init__(self, kept: int = KEPT) -> None:
        self._seen: deque[Seen] = deque(maxlen=kept)

    def connection(self, hosts: Sequence[str], standing: Standing, admitted: Admitted) -> None:
        """Note that a connection was decided."""
        if admitted.verdict.target and not standing.exempt:
            self._seen.append(Seen(standing, tuple(hosts)))

    def message(self, facts: Facts, standing: Standing, verdict: Verdict) -> None:
        """Note that a message was decided; its media class stands for all that told it."""
        if not verdict.target or standing.exempt:
            return
        if verdict.media is not MediaClass.OTHER:
            facts = replace(facts, content_type=(f"{verdict.media}/any",))
        self._seen.append(Seen(standing, facts=replace(facts, path="/", head=b"", fetch_dest="")))

    def __iter__(self) -> Iterator[Seen]:
        """Go over a snapshot, oldest first."""
        return iter(tuple(self._seen))


def dry_run(before: Judge, after: Judge, seen: Iterable[Seen], now: datetime) -> list[Change]:
    """Decide everything again under both policies; return the outcomes, the most frequent change first."""
    counts = Counter((_decide(before, one, now), _decide(after, one, now)) for one in seen)
    changes = [Change(old, new, count) for (old, new), count in counts.items()]
    return sorted(changes, key=lambda change: (change.before == change.after, -change.count, change.before))


def _decide(judge: Judge, one: Seen, now: datetime) -> Decision:
    if one.facts is None:
        admitted = admit(judge, one.hosts, one.standing, now)
        return _decision(admitted.admission, admitted.verdict)
    verdict = judge.decide_plain(one.facts, one.standing.person, now)
    return _decision(verdict.media, verdict)


def _decision(action: str, verdict: Verdict) -> Decision:
    return Decision(action, verdict.reason, verdict.rule.name if verdict.rule else "")

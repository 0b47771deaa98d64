"""Study time: what the wall clock says, one fixed moment, or a replay at a speed. Pure: wall time is an argument."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shaper.policy.model import Phase


@dataclass(frozen=True, slots=True)
class Schedule:
    """Without `start`, study time is wall time.

    With it, study time is `start` when wall time is `began`, and runs `speed` times as fast from there; at speed 0 it
    stays. It never falls before `start`, whatever the clock does.
    """

    start: datetime | None = None
    began: datetime | None = None
    speed: float = 0.0

    def at(self, wall: datetime) -> datetime:
        """Return the study time at this wall time. Both are aware; any time zone will do."""
        if self.start is None:
            return wall
        elapsed = max(timedelta(), wall - (self.began or wall))
        try:
            return self.start + elapsed * self.speed
        except OverflowError:
            return datetime.max.replace(tzinfo=UTC)


def in_force(phases: Iterable[Phase], moment: datetime) -> tuple[str, ...]:
    """Return the names of the phases in force at this study time, in the policy's order."""
    return tuple(phase.name for phase in phases if phase.holds(moment))


def ever_in_force(phases: Sequence[Phase]) -> set[tuple[str, ...]]:
    """Return every set of phases that is in force together at some time: it changes only where one starts or ends."""
    edges = [edge for phase in phases for edge in (phase.start, phase.end) if edge]
    return {in_force(phases, edge) for edge in edges}

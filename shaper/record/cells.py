"""Counts of people that may be shown: a cell that holds too few of them is left out, and no total gives it away."""

from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

LEAST = 5  # people; fewer could be recognised, or recognise each other


@dataclass(frozen=True, slots=True)
class Cells[K: Hashable]:
    """`shown` people a cell; `suppressed` cells had too few and are only counted."""

    shown: dict[K, int]
    suppressed: int


def cells[K: Hashable](people: Iterable[tuple[str, K]], least: int = LEAST) -> Cells[K]:
    """Count distinct people (by pseudonym) a cell. Cells with less than `least` people are suppressed."""
    members: defaultdict[K, set[str]] = defaultdict(set)
    for pseudonym, cell in people:
        members[cell].add(pseudonym)
    shown = {cell: len(found) for cell, found in members.items() if len(found) >= least}
    return Cells(shown, len(members) - len(shown))

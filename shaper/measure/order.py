"""In which order the arms of a block are measured, and which samples a run consists of. Pure: the seed is an argument.

Arms of one block lie back to back, so that what changes slowly (load, time of day) is the same for them; their order
varies from block to block, so that what changes quickly or carries over falls on each alike.
"""

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Step(NamedTuple):
    """One sample to be taken."""

    block: str
    order: int  # place within the block
    arm: str
    probe: str
    object: str

    @property
    def id(self) -> str:
        """Unique in the run, and the same whenever the run is resumed. Names hold no slash."""
        return f"{self.block}/{self.arm}"


def steps(
    arms: Sequence[str], pairs: Sequence[tuple[str, str]], blocks: int, seed: int, *, latin: bool
) -> Iterator[Step]:
    """Yield every sample in order. `pairs` are probe and object; each has a block of its own in every round."""
    rng = random.Random(seed)  # noqa: S311 - an experiment's order, to be repeatable
    squares: dict[tuple[str, str], list[list[str]]] = {}
    for number in range(blocks):
        for pair in rng.sample(list(pairs), len(pairs)):
            if latin and number % len(arms) == 0:
                squares[pair] = latin_square(arms, rng)
            row = squares[pair][number % len(arms)] if latin else rng.sample(list(arms), len(arms))
            for order, arm in enumerate(row):
                yield Step(f"{number:03d}/{'/'.join(pair)}", order, arm, *pair)


def latin_square(arms: Sequence[str], rng: random.Random) -> list[list[str]]:
    """Return rows in which each arm is at each place once, rows and arms shuffled."""
    names = rng.sample(list(arms), len(arms))
    rows = [[names[(row + place) % len(names)] for place in range(len(names))] for row in range(len(names))]
    return rng.sample(rows, len(rows))

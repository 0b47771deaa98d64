"""Many comparisons of one arm, judged together: the chance that any of them would look this different by accident.

If an arm does nothing, then in any block it and the reference could as well have been swapped, for all figures at once.
All such swaps are played through (many of them, when there are many blocks), and an observed difference is held
against the largest that each swap gives over the whole family (Westfall and Young, Resampling-Based Multiple Testing,
1993, step-down maxT). Figures that say the same thing twice then cost nothing, and no distribution is assumed.

The statistic is the mean difference over its root mean square, which orders swaps as Student's t does. Ranks would
not do: in few blocks each of many figures has a swap that makes its ranks look as good as the best.
"""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from shaper.report.pairs import Floats

ALL_UP_TO = 13  # blocks: 8,192 swaps
SOME = 9_999


def family_p(differences: Sequence[Mapping[Hashable, float]], seed: int = 1) -> list[float]:
    """Return a p-value for each comparison, adjusted for all of them. A comparison maps blocks to differences."""
    blocks = list(dict.fromkeys(block for one in differences for block in one))
    scaled = np.zeros((len(blocks), len(differences)))
    for column, one in enumerate(differences):
        values = np.array(list(one.values()))
        scaled[[blocks.index(block) for block in one], column] = values / (np.sqrt(np.sum(values**2)) or 1.0)
    observed = np.abs(scaled.sum(axis=0))
    order = np.argsort(-observed)
    by_chance = np.abs(_swaps(len(blocks), seed) @ scaled[:, order])
    largest_left = np.maximum.accumulate(by_chance[:, ::-1], axis=1)[:, ::-1]
    stepped = np.maximum.accumulate(np.mean(largest_left >= observed[order] - 1e-9, axis=0))
    adjusted = np.empty(len(differences))
    adjusted[order] = stepped
    return [float(p) for p in adjusted]


def _swaps(blocks: int, seed: int) -> Floats:
    """Return rows of signs, the one as it was among them."""
    if blocks <= ALL_UP_TO:
        numbers = np.arange(2**blocks)[:, None] >> np.arange(blocks)
        return np.asarray(1.0 - 2.0 * (numbers & 1))
    drawn = np.random.default_rng(seed).choice([-1.0, 1.0], (SOME, blocks))
    return np.vstack([np.ones(blocks), drawn])

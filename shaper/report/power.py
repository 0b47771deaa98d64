"""How many pairs an experiment needs, and what an experiment of so many pairs could have found.

Power is simulated: differences are drawn from a stated spread, shifted by the effect sought, and put to the very
signed-rank test that the report uses. Power is never computed for the effect that was observed, which would only
restate the p-value (Hoenig and Heisey, The Abuse of Power, The American Statistician 55(1), 2001).
"""

from itertools import takewhile

import numpy as np

from shaper.report.pairs import Floats, critical_rank, signed_rank_sum

MOST_PAIRS = 1024  # an experiment that needs more should be planned anew
EXPERIMENTS = 1000  # simulated; a power of 0.8 is then known to within 0.025


def power(spread: Floats, effect: float, pairs: int, confidence: float = 0.95, seed: int = 1) -> float:
    """Return the share of experiments with so many pairs in which a shift of `effect` would be found."""
    rank = critical_rank(pairs, confidence)
    if rank == 0 or not spread.size:
        return 0.0
    draws = np.random.default_rng(seed).choice(spread, (EXPERIMENTS, pairs)) + effect
    sums = signed_rank_sum(draws)
    return float(np.mean((sums < rank) | (sums > pairs * (pairs + 1) / 2 - rank)))


def pairs_needed(spread: Floats, effect: float, wanted: float = 0.8, confidence: float = 0.95) -> int | None:
    """Return the fewest pairs that find a shift of `effect` with the power wanted; None above `MOST_PAIRS`."""
    doubling = (2**i for i in range(2, MOST_PAIRS.bit_length()))
    too_few = list(takewhile(lambda n: power(spread, effect, n, confidence) < wanted, doubling))
    low = too_few[-1] if too_few else 1
    if low == MOST_PAIRS:
        return None
    high = 2 * low
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(spread, effect, middle, confidence) >= wanted else (middle, high)
    return high


def smallest_effect(spread: Floats, pairs: int, wanted: float = 0.8, confidence: float = 0.95) -> float | None:
    """Return the smallest shift that so many pairs find with the power wanted; None when none can be."""
    if critical_rank(pairs, confidence) == 0 or not spread.size:
        return None
    low, high = 0.0, float(2 * np.max(np.abs(spread))) or 1e-9  # beyond all spread every sign agrees
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (low, middle) if power(spread, middle, pairs, confidence) >= wanted else (middle, high)
    return high

"""Paired differences: how far treatment lies from control, how sure that is, and what a timeout says about it.

A difference is known or bounded. A transfer that timed out after T took longer than T, so its pair's difference has a
lower bound and no upper one (or the reverse, when the control timed out). Nothing is dropped and no distribution is
assumed: estimate, interval and p-value are all monotone in every single difference, so the low bounds and the high
bounds, each taken together, enclose whatever the unfinished transfers would have given (partial identification, after
Manski, Partial Identification of Probability Distributions, 2003). The interval is the union and still covers; the
p-value is the largest within the bounds.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

type Floats = NDArray[np.float64]

EXACT = 200  # pairs up to which the null distribution is counted; beyond it the normal one is right to 4 digits


@dataclass(frozen=True, slots=True)
class Shift:
    """A location shift and what is known of it. The pairs of numbers differ only when some pair is censored."""

    pairs: int
    censored: int
    estimate: tuple[float, float]
    lower: float
    upper: float
    p: float
    effect: tuple[float, float]  # matched-pairs rank-biserial correlation: -1 all lower … 1 all higher


@cache
def null_distribution(pairs: int) -> Floats:
    """Return P(W+ <= w) for w = 0 … n(n+1)/2 without ties, counted by adding one rank at a time.

    Wilcoxon, Individual comparisons by ranking methods, Biometrics Bulletin 1(6), 1945.
    """
    mass = np.zeros(pairs * (pairs + 1) // 2 + 1)
    mass[0] = 1.0
    for rank in range(1, pairs + 1):
        mass[rank:] += mass[:-rank].copy()
        mass /= 2
    return np.cumsum(mass)


def critical_rank(pairs: int, confidence: float = 0.95) -> int:
    """Return the largest k with P(W+ < k) <= (1 - confidence) / 2; 0 when so few pairs cannot give one."""
    tail = (1 - confidence) / 2
    if pairs <= EXACT:
        return int(np.searchsorted(null_distribution(pairs), tail, side="right"))
    mean, variance = pairs * (pairs + 1) / 4, pairs * (pairs + 1) * (2 * pairs + 1) / 24
    return int(mean + stats.norm.ppf(tail) * variance**0.5 + 0.5)


def walsh_averages(differences: Floats) -> Floats:
    """Return the n(n+1)/2 averages of two differences, each with itself too, sorted along the last axis."""
    first, second = np.triu_indices(differences.shape[-1])
    return np.sort((differences[..., first] + differences[..., second]) / 2, axis=-1)


def hodges_lehmann(differences: Floats, confidence: float = 0.95) -> tuple[Floats, Floats, Floats]:
    """Return estimate, lower and upper limit of the median difference, along the last axis.

    The median of the Walsh averages; the limits are those that the signed-rank test does not reject (Hodges and
    Lehmann, Annals of Mathematical Statistics 34, 1963; Hollander, Wolfe and Chicken, Nonparametric Statistical
    Methods, 3rd ed., 3.2 and 3.3). Infinite limits mean that there are too few pairs for such a confidence.
    """
    averages = walsh_averages(differences)
    count = averages.shape[-1]
    rank = critical_rank(differences.shape[-1], confidence)
    # The mean of the two middle averages, written so that infinite bounds stay infinite.
    estimate = (averages[..., (count - 1) // 2] + averages[..., count // 2]) / 2
    if rank == 0:
        endless = np.full_like(estimate, np.inf)
        return estimate, -endless, endless
    return estimate, averages[..., rank - 1], averages[..., count - rank]


def signed_rank_sum(differences: Floats) -> Floats:
    """Return W+, the sum of the ranks of the positive differences, along the last axis; a zero counts half."""
    ranks = stats.rankdata(np.abs(differences), axis=-1)
    return np.asarray(np.sum(ranks * (1 + np.sign(differences)) / 2, axis=-1))


def signed_rank_p(differences: Floats) -> float:
    """Return the two-sided p-value of Wilcoxon's signed-rank test (exact where that can be counted)."""
    if not differences.size or not np.any(differences):
        return 1.0
    return float(stats.wilcoxon(differences, zero_method="zsplit").pvalue)


def shift(low: Floats, high: Floats, confidence: float = 0.95) -> Shift:
    """Estimate the shift from bounds on each pair's difference; `low == high` where it is known."""
    pairs = low.size
    censored = int(np.sum(low != high))
    if pairs == 0:
        return Shift(0, 0, (-np.inf, np.inf), -np.inf, np.inf, 1.0, (-1.0, 1.0))
    low_estimate, lower, _ = hodges_lehmann(low, confidence)
    high_estimate, _, upper = hodges_lehmann(high, confidence)
    below, above = _finite(low), _finite(high)
    return Shift(
        pairs=pairs,
        censored=censored,
        estimate=(float(low_estimate), float(high_estimate)),
        lower=float(lower),
        upper=float(upper),
        p=signed_rank_p(cautious(low, high)),
        effect=(rank_biserial(below), rank_biserial(above)),
    )


def cautious(low: Floats, high: Floats) -> Floats:
    """Return the differences within their bounds that speak least for an effect; all 0 where that says nothing."""
    below, above = _finite(low), _finite(high)
    if rank_biserial(below) >= 0:
        return below
    return above if rank_biserial(above) <= 0 else np.zeros_like(low)


def rank_biserial(differences: Floats) -> float:
    """Return the matched-pairs rank-biserial correlation (Kerby, Comprehensive Psychology 3, 2014)."""
    pairs = differences.size
    return float(2 * signed_rank_sum(differences) / (pairs * (pairs + 1) / 2) - 1) if pairs else 0.0


def _finite(differences: Floats) -> Floats:
    """Replace an infinite bound by one beyond every other, which ranks the same."""
    known = np.abs(differences[np.isfinite(differences)])
    beyond = 2 * float(np.max(known, initial=0.0)) + 1
    return np.clip(differences, -beyond, beyond)

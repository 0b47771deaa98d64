"""The rate that a transfer converged to, from its read events.

Reads are taken together in equal windows from the first byte on; windows in which nothing arrived count as zero, for a
stall is part of the rate. A transfer cut short by a timeout is silent up to that instant, so its silence counts too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from shaper.report.pairs import Floats

type Reads = Sequence[tuple[float, int]]

WINDOW = 1.0  # s; policers and windowed shapers act by the second, so shorter ones would see their teeth
FEWEST = 4  # windows that can show convergence


@dataclass(frozen=True, slots=True)
class Converged:
    """A transfer's rate in bit/s once it settled; `since` is when, in seconds after its first byte."""

    rate: float
    since: float
    steady: bool  # no change of level within the last half


def window_rates(reads: Reads, width: float, end: float | None = None) -> Floats:
    """Return the rates in bit/s of whole windows from the first read up to `end` (the last read unless given)."""
    if not reads:
        return np.zeros(0)
    times, sizes = np.asarray(reads, dtype=float).T
    span = max(float(times[-1]), end or 0.0) - times[0]
    count = int(span / width + 1e-9)
    if count == 0:
        return np.zeros(0)
    edges = times[0] + width * np.arange(count + 1)
    return np.asarray(np.histogram(times, edges, weights=sizes)[0] * 8 / width)


def fitting_width(span: float) -> float:
    """Return the window for a transfer of so many seconds: a second, or an eighth of a transfer under four."""
    return WINDOW if span >= FEWEST * WINDOW else max(span / 8, 1e-6)


def converged_rate(reads: Reads, end: float | None = None) -> Converged | None:
    """Return the median rate of the last half of the windows, and since when there was no change of level.

    None when it cannot be told: too few windows, or windows shorter than the waits between reads.

    The median of the last half is how Xue et al. read a throttled rate off a replay (Throttling Twitter, IMC 2021);
    the change point is the split into two levels with the least squared error (Hinkley, Biometrika 57(1), 1970), kept
    when it lowers the Bayesian information criterion (Yao, Statistics & Probability Letters 6(3), 1988).
    """
    if len(reads) < 2:
        return None
    span = max(reads[-1][0], end or 0.0) - reads[0][0]
    if span <= 0:
        return None
    width = fitting_width(span)
    rates = window_rates(reads, width, end)
    longest_wait = max(later - earlier for (earlier, _), (later, _) in pairwise(reads))
    if rates.size < FEWEST or (width < WINDOW and longest_wait > width):
        return None
    grain = 8 * float(np.median([size for _, size in reads])) / width
    change = change_point(rates, grain) or 0
    return Converged(float(np.median(rates[rates.size // 2 :])), change * width, change <= rates.size // 2)


def change_point(levels: Floats, grain: float = 0.0) -> int | None:
    """Return the index at which a second level begins, or None when one level explains the series as well.

    `grain` is one read in a window. A read falls on this or that side of an edge by chance: half of one is rounding.
    """
    count = levels.size
    if count < FEWEST:
        return None
    left = np.arange(1, count)
    sums, squares = np.cumsum(levels), np.cumsum(levels**2)
    before = squares[:-1] - sums[:-1] ** 2 / left
    after = (squares[-1] - squares[:-1]) - (sums[-1] - sums[:-1]) ** 2 / (count - left)
    whole = squares[-1] - sums[-1] ** 2 / count
    rounding = count * max(grain**2 / 4, 1e-12 * float(np.mean(levels)) ** 2, 1e-300)
    best = int(np.argmin(before + after))
    gain = count * np.log((whole + rounding) / (max(float((before + after)[best]), 0.0) + rounding))
    return best + 1 if gain > 3 * np.log(count) else None  # a level, a second level and a place

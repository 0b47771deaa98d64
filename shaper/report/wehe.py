"""Wehe's rule, for comparison with published results only.

Its samples are time buckets of one flow each way, which depend on one another, so its p-value is too small and its
verdict is not ours. Unlike Wehe's code this keeps the buckets in which nothing arrived: to drop them deletes the
stalls.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy import stats

from shaper.report.pairs import Floats

FAST = 10e6  # bit/s; above it Wehe asks for less of a difference
LEVEL = 0.01


class WeheVerdict(StrEnum):
    """Wehe's words, as this report uses them."""

    DIFFERENT = "differentiation"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Wehe:
    """The two figures of the rule and what it makes of them."""

    area: float
    p: float
    verdict: WeheVerdict


def wehe(control: Floats, treatment: Floats) -> Wehe:
    """Apply Wehe's rule to two sets of bucket rates in bit/s.

    Area `(mean2 - mean1) / max(mean1, mean2)` of at least 0.5, or 0.3 when the faster runs above 10 Mbit/s, and a
    two-sample Kolmogorov-Smirnov p below 0.01; anything else is inconclusive (Li et al., A Large-Scale Analysis
    of Deployed Traffic Differentiation Practices, SIGCOMM 2019, with the tool's thresholds since).
    """
    if not control.size or not treatment.size:
        return Wehe(0.0, 1.0, WeheVerdict.INCONCLUSIVE)
    first, second = float(np.mean(control)), float(np.mean(treatment))
    faster = max(first, second)
    area = (second - first) / faster if faster > 0 else 0.0
    p = float(stats.ks_2samp(control, treatment).pvalue)
    different = abs(area) >= (0.3 if faster > FAST else 0.5) and p < LEVEL
    return Wehe(area, p, WeheVerdict.DIFFERENT if different else WeheVerdict.INCONCLUSIVE)

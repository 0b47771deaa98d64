"""What a calibration finds out about one rate over one protocol, and whether that is good enough. Pure.

Rates are bits per second, sizes bytes, times seconds. Each repeat is one slowed body, read by a real client.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev

from shaper.measure import line
from shaper.measure.line import Line

# Student's t, two-sided 95 %, by degrees of freedom from 1 on; NIST/SEMATECH e-Handbook, 1.3.6.7.2.
T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)

JITTER = 0.003
"""Seconds by which a client's clock and the loop may shift a piece without the proxy being at fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How far off a figure may be. Shares are of the configured value."""

    ratio: float = 0.02
    burst: float = 0.025  # and JITTER at the rate
    distance: float = 0.030  # seconds of rate behind the ideal line, or two quanta at the low rates
    gap: float = 0.100  # seconds without a byte
    latency: float = 0.100  # seconds that an unslowed response takes beside a slowed one, the median
    lag: float = 0.050  # seconds that the proxy's loop is late, the 99th percentile


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What was found at one rate over one protocol."""

    rate: float
    protocol: str
    repeats: int
    ratio: float  # achieved / configured, the mean
    low: float  # its 95 % interval
    high: float
    burst: float  # the median of the most bytes ahead of the rate in any stretch
    burst_configured: int
    distance: float  # the median of the most bytes behind the ideal line
    gap: float  # the longest, of all repeats
    latency: float  # the median of an unslowed response beside it
    misses: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether all is within tolerance."""
        return not self.misses


def figure(
    rate: float,
    protocol: str,
    burst: int,
    *,
    lines: Sequence[Line],
    latencies: Sequence[float],
    tolerance: Tolerance,
) -> Figure:
    """Return what the repeats say. Raises ValueError for fewer than two of them: they have no interval."""
    ratios = [(line.rate(each, burst) or 0.0) / rate for each in lines]
    if len(ratios) < 2:
        raise ValueError("a calibration needs at least two repeats")
    mean = fmean(ratios)
    half = T95[min(len(ratios) - 1, len(T95)) - 1] * stdev(ratios) / len(ratios) ** 0.5
    found = {
        "burst": median(line.excess(each, rate) for each in lines),
        "distance": median(_behind(each, rate, burst) for each in lines),
        "gap": max(line.longest_gap(each) or 0.0 for each in lines),
        "latency": median(latencies) if latencies else 0.0,
    }
    allowed = {
        "burst": burst * (1 + tolerance.burst) + JITTER * rate / 8,
        "distance": max(1500.0, tolerance.distance * rate / 8),
        "gap": tolerance.gap,
        "latency": tolerance.latency,
    }
    misses = [f"{name} {found[name]:.6g} is over {limit:.6g}" for name, limit in allowed.items() if found[name] > limit]
    if not (1 - tolerance.ratio <= mean - half and mean + half <= 1 + tolerance.ratio):
        misses.insert(0, f"achieved/configured {mean:.4f} [{mean - half:.4f}, {mean + half:.4f}] is off by more than "
                         f"{tolerance.ratio:.1%}")  # fmt: skip
    return Figure(
        rate=rate,
        protocol=protocol,
        repeats=len(ratios),
        ratio=mean,
        low=mean - half,
        high=mean + half,
        burst_configured=burst,
        misses=tuple(misses),
        **found,
    )


def _behind(each: Line, rate: float, burst: int) -> float:
    """Return the most bytes by which the line is behind `burst` at once and the rest at the rate."""
    total, had, furthest = line.size(each), 0, 0.0
    for at, count in each:
        due = min(total, burst + (at - each[0][0]) * rate / 8)
        furthest = max(furthest, due - had if at > each[0][0] else 0.0)
        had += count
    return furthest

"""What a calibration finds out about one cap over one protocol, and whether that is good enough. Pure.

Rates are bits per second, sizes bytes, times seconds. Each repeat is one slowed body, read by a real client.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import Self

from shaper.measure import line
from shaper.measure.line import Line
from shaper.pacing.limit import Limit, Manner, quantum

# Student's t, two-sided 95 %, by degrees of freedom from 1 on; NIST/SEMATECH e-Handbook, 1.3.6.7.2.
T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)

JITTER = 0.001
"""Seconds by which a client may see the first piece late, so that the burst looks larger than it is."""

LATE = 0.010
"""Seconds by which a piece may be late: what was due meanwhile then comes with it, at once."""


@dataclass(frozen=True, slots=True, order=True)
class Asked:
    """What a cap asks of the proxy. `at_once` are the bytes it may give at once: the burst, or a window's allowance."""

    rate: float
    at_once: int
    manner: str = "smooth"
    window: float = 0.0  # 0 for a smooth cap

    @classmethod
    def of(cls, limit: Limit) -> Self:
        """Return what a limit asks."""
        if limit.manner is Manner.WINDOW:
            return cls(8 * limit.rate, int(limit.rate * limit.window), str(limit.manner), limit.window)
        return cls(8 * limit.rate, int(limit.burst), str(limit.manner))

    def size(self, lasts: float) -> int:
        """Return the size of a body that takes about so many seconds; whole allowances, for windows to compare."""
        if self.window:
            return self.at_once * max(3, 1 + round(lasts / self.window))
        return self.at_once + max(20_000, round(self.rate / 8 * lasts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How far off a figure may be. Shares are of the configured value."""

    ratio: float = 0.02
    burst: float = 0.025  # and JITTER at the rate; or, where that is more, a piece that is LATE
    distance: float = 0.030  # seconds of rate behind the ideal line, or 1500 bytes where that is more
    gap: float = 0.100  # seconds without a byte, beyond the cap's own window
    latency: float = 0.100  # seconds that an unslowed response takes beside a slowed one, the median
    lag: float = 0.050  # seconds that the proxy's loop is late, the 99th percentile


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What was found of one cap over one protocol."""

    rate: float
    manner: str
    window: float
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

    @property
    def asked(self) -> Asked:
        """What was asked for."""
        return Asked(self.rate, self.burst_configured, self.manner, self.window)


def figure(
    asked: Asked, protocol: str, *, lines: Sequence[Line], latencies: Sequence[float], tolerance: Tolerance
) -> Figure:
    """Return what the repeats say. Raises ValueError for fewer than two of them: they have no interval."""
    ratios = [(line.rate(each, asked.at_once) or 0.0) / asked.rate for each in lines]
    if len(ratios) < 2:
        raise ValueError("a calibration needs at least two repeats")
    mean = fmean(ratios)
    half = T95[min(len(ratios) - 1, len(T95)) - 1] * stdev(ratios) / len(ratios) ** 0.5
    found = {
        "burst": median(line.excess(each, asked.rate) for each in lines),
        "distance": median(_behind(each, asked) for each in lines),
        "gap": max(line.longest_gap(each) or 0.0 for each in lines),
        "latency": median(latencies) if latencies else 0.0,
    }
    waits = asked.at_once if asked.window else 0  # bytes: at the end of a window its line lags the rate by these
    speed = asked.rate / 8
    allowed = {
        "burst": max(asked.at_once * (1 + tolerance.burst) + JITTER * speed, quantum(speed) + LATE * speed),
        "distance": waits + max(1500.0, tolerance.distance * speed),
        "gap": asked.window + tolerance.gap,
        "latency": tolerance.latency,
    }
    misses = [f"{name} {found[name]:.6g} is over {limit:.6g}" for name, limit in allowed.items() if found[name] > limit]
    if not (1 - tolerance.ratio <= mean - half and mean + half <= 1 + tolerance.ratio):
        misses.insert(0, f"achieved/configured {mean:.4f} [{mean - half:.4f}, {mean + half:.4f}] is off by more than "
                         f"{tolerance.ratio:.1%}")  # fmt: skip
    return Figure(
        rate=asked.rate,
        manner=asked.manner,
        window=asked.window,
        protocol=protocol,
        repeats=len(ratios),
        ratio=mean,
        low=mean - half,
        high=mean + half,
        burst_configured=asked.at_once,
        misses=tuple(misses),
        **found,
    )


def _behind(each: Line, asked: Asked) -> float:
    """Return the most bytes by which the line is behind what is given at once and the rest at the rate."""
    total, had, furthest = line.size(each), 0, 0.0
    for at, count in each:
        due = min(total, asked.at_once + (at - each[0][0]) * asked.rate / 8)
        furthest = max(furthest, due - had if at > each[0][0] else 0.0)
        had += count
    return furthest

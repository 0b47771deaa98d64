"""How body bytes lie against time: rates, gaps and the distance from an ideal line. Pure.

A line is a series of (seconds, bytes): so many body bytes arrived at that instant. Instants rise and may be counted
from anywhere; rates are bits per second, sizes and distances bytes. What cannot be told from so few reads is None.
"""

from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, pstdev

type Line = Sequence[tuple[float, int]]


def size(line: Line) -> int:
    """Return the bytes of all reads."""
    return sum(count for _, count in line)


def span(line: Line) -> float:
    """Return the seconds from the first read to the last."""
    return line[-1][0] - line[0][0] if line else 0.0


def rate(line: Line, burst: int = 0) -> float | None:
    """Return the rate after the burst: the ideal bucket gives `burst` bytes at once and the rest at its rate."""
    rest = size(line) - burst
    return 8 * rest / span(line) if rest > 0 and span(line) > 0 else None


def distance(line: Line, ideal: float) -> float:
    """Return the largest distance, either way, from the straight line of `ideal` bit/s through the first instant.

    Just before a read the line may be behind, just after it ahead. The burst counts: it is a distance from that line.
    """
    furthest, had = 0.0, 0
    for at, count in line:
        due = (at - line[0][0]) * ideal / 8
        furthest = max(furthest, abs(due - had), abs(due - had - count))
        had += count
    return furthest


def excess(line: Line, ideal: float) -> float:
    """Return the most bytes by which any stretch of the line is over `ideal` bit/s: a token bucket's is its burst."""
    most, lowest, had = 0.0, 0.0, 0
    for at, count in line:
        due = (at - line[0][0]) * ideal / 8
        lowest = min(lowest, had - due)
        had += count
        most = max(most, had - due - lowest)
    return most


def longest_gap(line: Line) -> float | None:
    """Return the longest time between two reads, in seconds."""
    return max((after - before for (before, _), (after, _) in pairwise(line)), default=None)


def windows(line: Line, width: float = 0.1, skip: float = 0.0) -> list[float]:
    """Return the rates in whole windows of `width` seconds, from `skip` seconds after the first read to the last.

    A window in which nothing arrived counts as zero: to drop it would be to drop the stall.
    """
    if not line:
        return []
    begin = line[0][0] + skip
    counts = [0] * max(int((line[-1][0] - begin) / width + 1e-9), 0)
    for at, count in line:
        if 0 <= (index := int((at - begin) // width)) < len(counts):
            counts[index] += count
    return [8 * count / width for count in counts]


def variation(line: Line, width: float = 0.1, skip: float = 1.0) -> float | None:
    """Return the coefficient of variation of the rate in windows: its standard deviation over its mean."""
    rates = windows(line, width, skip)
    return pstdev(rates) / fmean(rates) if len(rates) > 1 and any(rates) else None

"""What a series of read events looks like: unshaped, smooth, windowed, policed, or inconclusive.

The words name the look, not the cause: a slow line drains as smoothly as a shaper. Beside the rate, four figures
decide, each in seconds or a share so that it means the same at every rate:

    wander       how far reads come early and late of a straight line (the middle half of them)
    regularity   the share of bursts that keep the beat and the size of the median burst
    opening      the first burst, in median bursts: a policer lets its whole bucket through first
    head start   seconds of the rate that came before the line began: a burst let through first

A shaper delays each byte by its own share, so reads keep to the line. A window opens on the beat. A policer drops, so
its flows stall for as long as TCP's timers say, after a burst as deep as its bucket. `bench/detect.py` scores this.
"""

from dataclasses import dataclass
from enum import StrEnum
from math import exp, log2

import numpy as np

from shaper.policy.units import format_rate
from shaper.report.pairs import Floats
from shaper.report.rate import Reads

LINE = 20e6  # bit/s: what a line is taken to give when nobody says
FEWEST_READS, SHORTEST = 12, 2.0  # reads, s: below that a series shows nothing
FIRST_ROUND = 14_600  # bytes that TCP sends at once (RFC 6928)
STALL = 0.06  # s of wander: three quanta of a smooth shaper, a third of TCP's shortest timer
SLOWEST_TIMER = 0.4  # s; a beat below it may be TCP's own (RFC 6298 timers of 200 ms, doubled once)
TLS_RECORD = 16_500  # bytes: smooth pacing of whole records has a beat too
LEAST, MARGIN = 0.4, 0.2  # score of a look, and its lead over the next, for it to be named


class Look(StrEnum):
    """What a transfer looks like."""

    UNSHAPED = "unshaped"
    SMOOTH = "smooth"
    WINDOWED = "windowed"
    POLICED = "policed"
    INCONCLUSIVE = "inconclusive"


LOOKS = {"none": Look.UNSHAPED, "smooth": Look.SMOOTH, "window": Look.WINDOWED, "police": Look.POLICED}  # of a manner


@dataclass(frozen=True, slots=True)
class Figures:
    """What is measured of a series: rate in bit/s, times in seconds, burst in bytes, the others without a unit."""

    rate: float
    span: float
    wander: float
    regularity: float
    beat: float
    burst: float
    opening: float
    head_start: float

    @property
    def windowed(self) -> float:
        """On the beat from the first burst on."""
        return self.regularity if self.beat >= SLOWEST_TIMER and self.opening <= 1.5 else 0.0

    @property
    def policed(self) -> float:
        """Off the line and off the beat, after a head start: a policer lets its bucket through first."""
        return (1 - self.windowed) * (1 - self._straight) * self._ahead

    @property
    def smooth(self) -> float:
        """On the line; a head start makes it half as sure, for a policer leaves one too."""
        return (1 - self.windowed) * self._straight * (1 - self._ahead / 2)

    @property
    def _straight(self) -> float:
        return exp(-self.wander / STALL)

    @property
    def _ahead(self) -> float:
        return min(1.0, max(0.0, self.head_start))


@dataclass(frozen=True, slots=True)
class Signature:
    """A look with its rate (bit/s, None where there is none to name), the evidence in words, and the figures."""

    look: Look
    rate: float | None
    evidence: str
    figures: Figures | None = None

    def __str__(self) -> str:
        rate = f" at {format_rate(self.rate, 3)}" if self.rate else ""
        return f"{self.look}{rate}: {self.evidence}"


def signature(reads: Reads, line: float = LINE) -> Signature:
    """Say what the series looks like. `line` is the rate in bit/s that it would have unshaped."""
    if not reads:
        return Signature(Look.INCONCLUSIVE, None, "nothing was read")
    total, first, last = sum(size for _, size in reads), reads[0][0], reads[-1][0]
    mean = 8 * total / max(last, 1e-6)
    if mean >= line / 2:
        return Signature(Look.UNSHAPED, mean, "at least half of what the line gives")
    if last <= 2 * first * (log2(total / FIRST_ROUND + 1) + 1):
        words = f"done in {last / first:.1f} times the wait for its first byte, about as fast as TCP starts"
        return Signature(Look.UNSHAPED, mean, words)
    if len(reads) < FEWEST_READS or last - first < SHORTEST:
        words = f"{len(reads)} reads in {last - first:.1f} s; it takes {FEWEST_READS} in {SHORTEST:g} s to tell"
        return Signature(Look.INCONCLUSIVE, None, words)
    seen = figures(reads)
    if seen.rate >= line / 2:
        return Signature(Look.UNSHAPED, seen.rate, "at least half of what the line gives", seen)
    return _judge(seen)


def judge(reads: Reads, rate: float | None, line: float = LINE) -> Signature:
    """Say what a transfer looks like of which there are reads, or no more than a rate."""
    if reads or rate is None:
        return signature(reads, line)
    if rate >= line / 2:
        return Signature(Look.UNSHAPED, rate, "at least half of what the line gives")
    return Signature(Look.INCONCLUSIVE, rate, "slower than the line, and without read events nothing says how")


def figures(reads: Reads) -> Figures:
    """Measure a series of at least two instants: the rate of its last half, the rest after its first quarter."""
    times, sizes = np.asarray(reads, dtype=float).T
    sums, span = np.cumsum(sizes), float(times[-1] - times[0])
    half, quarter = times >= times[0] + span / 2, times >= times[0] + span / 4
    line = np.polyfit(times[half], sums[half], 1) if np.unique(times[half]).size > 1 else (sums[-1] / span, 0.0)
    rate, began = max(float(line[0]), 1e-3), float(line[1])
    late = times[quarter] - (sums[quarter] - sizes[quarter] / 2) / rate
    regularity, beat, burst, opening = _beat(times, sizes)
    return Figures(
        rate=8 * rate,
        span=span,
        wander=float(np.subtract(*np.quantile(late, [0.75, 0.25]))),
        regularity=regularity,
        beat=beat,
        burst=burst,
        opening=opening,
        head_start=(rate * float(times[0]) + began) / rate,
    )


def _beat(times: Floats, sizes: Floats) -> tuple[float, float, float, float]:
    """Return how regular the bursts are, their interval, their size, and how much larger the first one is.

    Bursts are parted by waits of at least half the typical one: the wait such that half of the time goes by in longer.
    """
    waits = np.diff(times)
    longest = np.sort(waits)[::-1]
    typical = longest[np.searchsorted(np.cumsum(longest), longest.sum() / 2)]
    begins = np.r_[0, np.flatnonzero(waits >= typical / 2) + 1]
    if begins.size < 4:
        return 0.0, 0.0, 0.0, 1.0
    opening, *amounts = np.add.reduceat(sizes, begins)[:-1]  # the last may be cut short
    intervals = np.diff(times[begins])[1:]
    beat, burst = float(np.median(intervals)), float(np.median(amounts))
    kept = (np.abs(intervals - beat) <= beat / 10) & (np.abs(np.asarray(amounts) - burst) <= burst / 5)
    return float(np.mean(kept)), beat, burst, float(opening) / burst


def _judge(seen: Figures) -> Signature:
    """Name the look whose score leads, unless the lead is small."""
    words = {
        Look.WINDOWED: f"bursts of {seen.burst / 1000:.3g} kB, {seen.beat:.2f} s apart, "
        f"{seen.regularity:.0%} on the beat",
        Look.POLICED: f"off a straight line by {1000 * seen.wander:.0f} ms and off any beat, "
        f"{seen.head_start:.1f} s ahead at its start",
        Look.SMOOTH: f"within {1000 * seen.wander:.0f} ms of a straight line, "
        f"{seen.head_start:.1f} s ahead at its start",
    }
    scores = {Look.WINDOWED: seen.windowed, Look.POLICED: seen.policed, Look.SMOOTH: seen.smooth}
    best, second = sorted(scores, key=lambda look: -scores[look])[:2]
    if best is Look.WINDOWED and seen.burst <= TLS_RECORD and seen.wander < STALL:
        record = f"one read each {seen.beat:.2f} s: whole TLS records hide whether it is smooth or windowed"
        return Signature(Look.INCONCLUSIVE, seen.rate, record, seen)
    if scores[best] < LEAST or scores[best] - scores[second] < MARGIN:
        between = f"{best} {scores[best]:.2f} against {second} {scores[second]:.2f}: {words[best]}"
        return Signature(Look.INCONCLUSIVE, seen.rate, between, seen)
    rate = 8 * seen.burst / seen.beat if best is Look.WINDOWED else seen.rate
    return Signature(best, rate, words[best], seen)

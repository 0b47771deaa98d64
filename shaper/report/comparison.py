"""Arms compared with the reference, pair by pair.

What is paired is a block: within it each object's figure under the reference is taken from that under the arm, and the
objects' differences are averaged, so that a block counts once however many objects it has. Sizes and intervals are
for each comparison by itself; whether arms differ is judged over the whole family of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import exp, log

import duckdb
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from shaper.report.drawing import TIMES, WIDTH, arm_colour, light
from shaper.report.family import family_p
from shaper.report.metric import METRICS, Metric
from shaper.report.pairs import Floats, Shift, cautious, shift
from shaper.report.panel import Panel, panel
from shaper.report.power import pairs_needed, power, smallest_effect

SOUGHT = log(1.2)  # the slowdown that an experiment is asked to find, unless it says otherwise
LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Difference:
    """One arm against the reference in one figure. For a `factor` the shift is in logarithms."""

    metric: str
    label: str
    factor: bool
    unit: str
    panel: Panel
    arm: str
    reference: str
    shift: Shift
    p_family: float  # adjusted for all comparisons of the report
    power: float | None  # of finding a slowdown by a fifth with these pairs
    pairs_needed: int | None  # for a power of 0.8
    smallest: float | None  # what these pairs find with a power of 0.8

    @property
    def differs(self) -> bool:
        """Whether the data tell the arms apart."""
        return self.p_family < LEVEL

    def natural(self, value: float) -> float:
        """Return a shift as a factor where it is one."""
        if not self.factor:
            return value
        return exp(value) if value < 700 else float("inf")


def differences(db: duckdb.DuckDBPyConnection, arms: Sequence[str], reference: str) -> list[Difference]:
    """Compare every arm with the reference in every figure that both have."""
    paired = [one for metric in METRICS for one in _paired(db, metric, reference)]
    others = [arm for arm in arms if arm != reference]
    found = []
    for arm in others:
        own = [one for one in paired if one.arm == arm]
        adjusted = family_p([dict(zip(one.blocks, cautious(*one.bounds), strict=True)) for one in own])
        # Each arm's family is exact; several arms are judged more strictly by their number (Bonferroni).
        found += [_difference(one, reference, min(1.0, p * len(others))) for one, p in zip(own, adjusted, strict=True)]
    order = [metric.name for metric in METRICS]
    return sorted(found, key=lambda one: (one.panel, order.index(one.metric), others.index(one.arm)))


@dataclass(frozen=True, slots=True)
class _Paired:
    """The bounds on one arm's differences in one figure, by block."""

    metric: Metric
    panel: Panel
    arm: str
    blocks: list[str]
    bounds: Floats


def _paired(db: duckdb.DuckDBPyConnection, metric: Metric, reference: str) -> list[_Paired]:
    low, high = metric.bounds
    rows = db.execute(
        f"""
        WITH figure AS (
            SELECT media, probe, object, run, block, arm, avg(low) AS low, avg(high) AS high
            FROM (SELECT *, {low} AS low, {high} AS high FROM samples WHERE (media = 'page') = ?)
            WHERE low IS NOT NULL GROUP BY ALL
        )
        SELECT arm.media, arm.probe, arm.arm, concat_ws('/', run, block),
               avg(arm.low - control.high), avg(arm.high - control.low)
        FROM figure AS arm JOIN figure AS control USING (media, probe, object, run, block)
        WHERE control.arm = ? AND arm.arm != ?
        GROUP BY arm.media, arm.probe, arm.arm, run, block ORDER BY ALL
        """,  # noqa: S608
        [metric.pages, reference, reference],
    ).fetchall()
    return [
        _Paired(metric, panel(media, probe), arm, blocks, np.array([least, most]))
        for (media, probe, arm), same in groupby(rows, key=lambda row: row[:3])
        for _, _, _, blocks, least, most in [tuple(map(list, zip(*same, strict=True)))]
    ]


def _difference(one: _Paired, reference: str, p_family: float) -> Difference:
    low, high = one.bounds
    known = low[low == high]
    spread = known - np.median(known) if known.size else known
    planned = one.metric.factor and known.size > 1
    return Difference(
        metric=one.metric.name,
        label=one.metric.label,
        factor=one.metric.factor,
        unit=one.metric.unit,
        panel=one.panel,
        arm=one.arm,
        reference=reference,
        shift=shift(low, high),
        p_family=p_family,
        power=power(spread, SOUGHT, low.size) if planned else None,
        pairs_needed=pairs_needed(spread, SOUGHT) if planned else None,
        smallest=smallest_effect(spread, low.size) if planned else None,
    )


def draw(found: Sequence[Difference], arms: Sequence[str]) -> Figure:
    """Draw factors with their intervals, one row each; an interval without an end leaves the picture as an arrow."""
    rows = [one for one in found if one.factor]
    figure = Figure(figsize=(WIDTH, 1.2 + 0.27 * len(rows)), layout="constrained")
    plot = figure.subplots()
    plot.axvline(1, color=light("ink"), linewidth=1)
    ends = [one.natural(end) for one in rows for end in (*one.shift.estimate, one.shift.lower, one.shift.upper)]
    known = [end for end in ends if 0 < end < float("inf")] or [1.0]
    least, most = min(*known, 0.8) / 1.3, max(*known, 1.25) * 1.3
    for row, one in enumerate(rows):
        colour = arm_colour(arms, one.arm)
        low, high = one.natural(one.shift.lower), one.natural(one.shift.upper)
        plot.plot([max(low, least), min(high, most)], [-row, -row], color=colour, linewidth=2)
        for end, mark in ((low, "<"), (high, ">")):
            if not least <= end <= most:
                plot.plot([least if mark == "<" else most], [-row], marker=mark, color=colour, clip_on=False)
        middles = [middle for middle in map(one.natural, one.shift.estimate) if least <= middle <= most]
        filled = colour if one.differs else light("paper")
        plot.plot(
            middles, [-row] * len(middles), color=colour, marker="o", markerfacecolor=filled, linestyle="", markersize=6
        )
    plot.set(xscale="log", xlim=(least, most), ylim=(-len(rows) + 0.4, 0.6))
    plot.set_yticks([-row for row in range(len(rows))], [f"{one.label}, {one.panel}, {one.arm}" for one in rows])
    plot.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{TIMES}{value:g}"))
    plot.xaxis.set_minor_formatter(NullFormatter())
    plot.set_xlabel(f"times as long as under {rows[0].reference if rows else 'the reference'}")
    plot.grid(visible=False, axis="y")
    return figure

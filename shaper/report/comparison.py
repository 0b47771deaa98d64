"""Arms compared with the reference, pair by pair.

What is paired is a block: within it each object's figure under the reference is taken from that under the arm, and the
objects' differences are averaged, so that a block counts once however many objects it has. Sizes and intervals are
for each comparison by itself; whether arms differ is judged over the whole family of them (Holm).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, log

import duckdb
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from shaper.report.drawing import TIMES, WIDTH, arm_colour, light
from shaper.report.metric import METRICS, Metric
from shaper.report.pairs import Floats, Shift, shift
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
    p_family: float  # after Holm, over all comparisons of the report
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
    found = [one for metric in METRICS for one in _differences(db, metric, arms, reference)]
    adjusted = holm([one.shift.p for one in found])
    judged = [replace(one, p_family=p) for one, p in zip(found, adjusted, strict=True)]
    order = [metric.name for metric in METRICS]
    return sorted(judged, key=lambda one: (one.panel, order.index(one.metric), list(arms).index(one.arm)))


def holm(ps: Sequence[float]) -> list[float]:
    """Adjust p-values for how many there are (Holm, Scandinavian Journal of Statistics 6(2), 1979)."""
    order = np.argsort(ps)
    stepped = np.maximum.accumulate(np.asarray(ps)[order] * np.arange(len(ps), 0, -1)) if ps else np.zeros(0)
    adjusted = np.empty(len(ps))
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(p) for p in adjusted]


def _differences(
    db: duckdb.DuckDBPyConnection, metric: Metric, arms: Sequence[str], reference: str
) -> list[Difference]:
    low, high = metric.bounds
    rows = db.execute(
        f"""
        WITH figure AS (
            SELECT media, probe, object, run, block, arm, avg(low) AS low, avg(high) AS high
            FROM (SELECT *, {low} AS low, {high} AS high FROM samples WHERE (media = 'page') = ?)
            WHERE low IS NOT NULL GROUP BY ALL
        )
        SELECT arm.media, arm.probe, arm.arm, avg(arm.low - control.high), avg(arm.high - control.low)
        FROM figure AS arm JOIN figure AS control USING (media, probe, object, run, block)
        WHERE control.arm = ? AND arm.arm != ?
        GROUP BY arm.media, arm.probe, arm.arm, run, block ORDER BY ALL
        """,  # noqa: S608
        [metric.pages, reference, reference],
    ).fetchall()
    bounds: dict[tuple[str, str, str], list[tuple[float, float]]] = defaultdict(list)
    for media, probe, arm, least, most in rows:
        bounds[media, probe, arm].append((least, most))
    return [
        _difference(metric, panel(media, probe), arm, reference, np.array(pairs))
        for (media, probe, arm), pairs in bounds.items()
        if arm in arms
    ]


def _difference(metric: Metric, shown: Panel, arm: str, reference: str, bounds: Floats) -> Difference:
    low, high = bounds.T
    found = shift(low, high)
    known = low[low == high]
    spread = known - np.median(known) if known.size else known
    planned = metric.factor and known.size > 1
    return Difference(
        metric=metric.name,
        label=metric.label,
        factor=metric.factor,
        unit=metric.unit,
        panel=shown,
        arm=arm,
        reference=reference,
        shift=found,
        p_family=found.p,
        power=power(spread, SOUGHT, found.pairs) if planned else None,
        pairs_needed=pairs_needed(spread, SOUGHT) if planned else None,
        smallest=smallest_effect(spread, found.pairs) if planned else None,
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
        middles = [min(max(one.natural(value), least), most) for value in one.shift.estimate]
        filled = colour if one.differs else light("paper")
        plot.plot(middles, [-row] * 2, color=colour, marker="o", markerfacecolor=filled, linestyle="", markersize=6)
    plot.set(xscale="log", xlim=(least, most), ylim=(-len(rows) + 0.4, 0.6))
    plot.set_yticks([-row for row in range(len(rows))], [f"{one.label}, {one.panel}, {one.arm}" for one in rows])
    plot.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{TIMES}{value:g}"))
    plot.xaxis.set_minor_formatter(NullFormatter())
    plot.set_xlabel(f"times as long as under {rows[0].reference if rows else 'the reference'}")
    plot.grid(visible=False, axis="y")
    return figure

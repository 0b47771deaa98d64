"""Where the time went: the proxies' own ledger, whose parts sum to the time that the client waited.

Also how near the shaped transfers came to the rate that was asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
from matplotlib.figure import Figure

from shaper.report.drawing import WIDTH, light, seconds
from shaper.report.panel import Panel, panel

PARTS = {  # part → label, colour, hatch
    "waiting": ("origin, before the response", "arm-3", ""),
    "receiving": ("origin, within the response", "arm-7", "//"),
    "held": ("held by the shaper", "arm-2", ""),
    "stalled": ("not taken by the client", "arm-4", "\\\\"),
}


@dataclass(frozen=True, slots=True)
class Ledger:
    """Mean seconds a transfer spent in each part, and its rate over the one configured (5, 50, 95 %)."""

    panel: Panel
    arm: str
    transfers: int
    waiting: float
    receiving: float
    held: float
    stalled: float
    asked: float | None
    ratio: tuple[float, float, float] | None
    flagged: int

    @property
    def total(self) -> float:
        """The parts together."""
        return self.waiting + self.receiving + self.held + self.stalled


def ledgers(db: duckdb.DuckDBPyConnection, arms: Sequence[str]) -> list[Ledger]:
    """Summarise the journals, by media class and arm. Quantiles are approximate (t-digest), so memory is bounded."""
    rows = db.execute("""
        SELECT media, arm, count(*), avg(waiting), avg(receiving), avg(held), avg(stalled),
               CASE WHEN min(rate) = max(rate) THEN min(rate) END, approx_quantile(rate_ratio, [0.05, 0.5, 0.95]),
               count(*) FILTER (len(flags) > 0)
        FROM transfers WHERE direction = 'down' GROUP BY ALL
    """).fetchall()
    made = [
        Ledger(panel(media), arm, count, a, b, c, d, asked, tuple(ratio) if asked and ratio else None, flagged)
        for media, arm, count, a, b, c, d, asked, ratio, flagged in rows
        if arm in arms
    ]
    return sorted(made, key=lambda one: (one.panel, list(arms).index(one.arm)))


def draw(found: Sequence[Ledger]) -> Figure:
    """Draw a bar for each media class and arm, longest at its own length: the scale is one of seconds."""
    figure = Figure(figsize=(WIDTH, 1.2 + 0.34 * len(found)), layout="constrained")
    plot = figure.subplots()
    rows = list(range(len(found)))[::-1]
    left = [0.0] * len(found)
    for part, (label, colour, hatch) in PARTS.items():
        widths = [getattr(one, part) for one in found]
        plot.barh(
            rows, widths, left=left, height=0.7, color=light(colour), hatch=hatch, label=label,
            edgecolor=light("paper"), linewidth=0,
        )  # fmt: skip
        left = [a + b for a, b in zip(left, widths, strict=True)]
    for row, one in zip(rows, found, strict=True):
        plot.annotate(seconds(one.total), (one.total, row), xytext=(4, 0), textcoords="offset points", va="center")
    plot.set_yticks(rows, [f"{one.panel}, {one.arm}" for one in found])
    plot.set_xlabel("seconds a transfer, on average")
    plot.grid(visible=False, axis="y")
    plot.margins(x=0.1)
    figure.legend(*plot.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure

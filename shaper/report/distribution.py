"""How long things took: of all transfers begun, the share that was complete after so many seconds.

A transfer that timed out or failed is in the whole and never in the part, so its curve ends below 100 %. That is the
distribution function as far as it was seen, without a guess about what came after.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
from matplotlib.figure import Figure

from shaper.report.drawing import arm_colour, arm_dashes, arm_width, grid_of_panels, in_seconds, legend_below
from shaper.report.panel import Panel, in_order, panel

STEP = 0.005  # times are counted in steps of half a percent, so that memory does not grow with samples


@dataclass(frozen=True, slots=True)
class Distribution:
    """The share complete (from 0 to 1) at each time, of `begun` transfers of one arm."""

    panel: Panel
    arm: str
    begun: int
    timeouts: int
    errors: int
    corrupt: int
    seconds: tuple[float, ...]
    share: tuple[float, ...]

    def quantile(self, share: float) -> float | None:
        """Return the time after which this share was complete; None when it never was."""
        place = int(np.searchsorted(self.share, share - 1e-12))
        return self.seconds[place] if place < len(self.seconds) else None


def distributions(db: duckdb.DuckDBPyConnection, arms: Sequence[str]) -> list[Distribution]:
    """Count every sample, by media class, probe and arm."""
    counts = db.execute("""
        SELECT media, probe, arm, count(*), count(*) FILTER (outcome = 'timeout'), count(*) FILTER (outcome = 'error'),
               count(*) FILTER (intact = false)
        FROM samples GROUP BY ALL
    """).fetchall()
    steps = db.execute(f"""
        SELECT media, probe, arm, exp(ceil(ln(greatest(duration, 1e-6)) / {STEP}) * {STEP}) AS seconds, count(*)
        FROM samples WHERE outcome = 'complete' GROUP BY ALL ORDER BY seconds
    """).fetchall()  # noqa: S608
    found = []
    for media, probe, arm, begun, timeouts, errors, corrupt in counts:
        times = [(seconds, count) for *key, seconds, count in steps if key == [media, probe, arm]]
        share = np.cumsum([count for _, count in times]) / begun
        seconds = tuple(seconds for seconds, _ in times)
        found.append(
            Distribution(panel(media, probe), arm, begun, timeouts, errors, corrupt, seconds, tuple(map(float, share)))
        )
    return sorted(found, key=lambda d: (d.panel, list(arms).index(d.arm)))


def draw(found: Sequence[Distribution], arms: Sequence[str]) -> Figure:
    """Draw the curves, one panel beside the other."""
    panels = in_order(one.panel for one in found)
    figure, axes = grid_of_panels(len(panels))
    ends = [one.seconds[-1] for one in found if one.seconds]
    starts = [one.seconds[0] for one in found if one.seconds]
    low, high = min(starts, default=0.1) / 1.5, max(ends, default=1.0) * 1.5
    for place, (shown, plot) in enumerate(zip(panels, axes, strict=False)):
        plot.set_title(str(shown))
        for one in (one for one in found if one.panel == shown):
            times = np.r_[low, one.seconds, high]
            share = 100 * np.r_[0, one.share, one.share[-1] if one.share else 0]
            colour, dashes = arm_colour(arms, one.arm), arm_dashes(arms, one.arm)
            width = arm_width(arms, one.arm)
            plot.step(times, share, where="post", color=colour, linestyle=dashes, linewidth=width, label=one.arm)
        plot.set(xscale="log", xlim=(low, high), ylim=(-2, 102))
        plot.set_xlabel("time since the request")
        in_seconds("x", plot)
        if place % 3 == 0:
            plot.set_ylabel("complete, % of all begun")
    legend_below(figure, axes[: len(panels)])
    return figure

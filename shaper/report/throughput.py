"""Throughput against time, with the rate that was asked for as a line.

Time and rate are logarithmic, for a flow that nobody slows is over before a slowed one has begun. Each flow counts
over the time in which it ran: the windows in which nothing came are zero, those after its end are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from shaper.report.drawing import (
    arm_colour,
    arm_dashes,
    bitrate,
    grid_of_panels,
    in_seconds,
    legend_below,
    light,
)
from shaper.report.flow import Flow
from shaper.report.pairs import Floats
from shaper.report.panel import Panel, in_order

WINDOWS = 64
SHOWN = 0.1  # of the flows must still run for a window to be shown


@dataclass(frozen=True, slots=True)
class Throughput:
    """Rates in bit/s over time: median, and the band that holds 80 % of the flows. `asked` is the configured rate."""

    panel: Panel
    arm: str
    flows: int
    seconds: tuple[float, ...]
    low: tuple[float, ...]
    median: tuple[float, ...]
    high: tuple[float, ...]
    asked: float | None


def throughputs(flows: Sequence[Flow]) -> list[Throughput]:
    """Take the flows of each media class, probe and arm together."""
    return [_together(list(same)) for _, same in groupby(flows, key=lambda flow: (flow.panel, flow.arm))]


def _together(flows: list[Flow]) -> Throughput:
    first = min(flow.reads[0][0] for flow in flows)
    edges = np.geomspace(max(first, 1e-4), max(*(flow.duration for flow in flows), 2 * first), WINDOWS + 1)
    rates = np.stack([_rates(flow, edges) for flow in flows])
    running = np.mean(~np.isnan(rates), axis=0) >= SHOWN
    low, median, high = (
        tuple(map(float, series)) for series in np.nanquantile(rates[:, running], [0.1, 0.5, 0.9], axis=0)
    )
    asked = {flow.rate for flow in flows if flow.rate}
    middles = tuple(map(float, np.sqrt(edges[1:] * edges[:-1])[running]))
    one_asked = asked.pop() if len(asked) == 1 else None
    return Throughput(flows[0].panel, flows[0].arm, len(flows), middles, low, median, high, one_asked)


def _rates(flow: Flow, edges: Floats) -> Floats:
    """Return the flow's rate in each window, over the part of the window in which it ran."""
    times, sizes = np.asarray(flow.reads, dtype=float).T
    ran = np.clip(flow.duration - edges[:-1], 0, np.diff(edges))
    arrived = np.histogram(times, edges, weights=sizes)[0] * 8
    return np.where(ran > 0.05 * np.diff(edges), arrived / np.maximum(ran, 1e-9), np.nan)


def draw(found: Sequence[Throughput], arms: Sequence[str]) -> Figure:
    """Draw rates over time, one panel beside the other."""
    panels = in_order(one.panel for one in found)
    figure, axes = grid_of_panels(len(panels))
    floor = min((rate for one in found for rate in one.median if rate > 0), default=1e3) / 4
    for place, (shown, plot) in enumerate(zip(panels, axes, strict=False)):
        plot.set_title(str(shown))
        for one in (one for one in found if one.panel == shown):
            colour = arm_colour(arms, one.arm)
            low, median, high = (np.maximum(series, floor) for series in (one.low, one.median, one.high))
            plot.fill_between(one.seconds, low, high, color=colour, alpha=0.15, linewidth=0)
            plot.plot(one.seconds, median, color=colour, linestyle=arm_dashes(arms, one.arm), label=one.arm)
        for asked in sorted({one.asked for one in found if one.panel == shown and one.asked}):
            plot.axhline(asked, color=light("ink"), linewidth=1, linestyle=(0, (1, 2)), label="as configured")
            plot.annotate(bitrate(asked), (0.01, asked), xycoords=("axes fraction", "data"), va="bottom", fontsize=9)
        plot.set(xscale="log", yscale="log", ylim=(floor, None))
        plot.set_xlabel("time since the request")
        in_seconds("x", plot)
        plot.yaxis.set_major_formatter(FuncFormatter(lambda value, _: bitrate(value)))
        if place % 3 == 0:
            plot.set_ylabel("throughput")
    legend_below(figure, axes[: len(panels)])
    return figure

"""Throughput against time, with the rate that was asked for.

Above, single flows as the bytes that had come: a straight line is smooth, steps are windows, a leap and an uneven line
are a policer. Below, the rate of all flows in equal windows, wide enough that the teeth of a second do not show. A
window in which nothing came is zero; one that a flow did not live through is left out. A flow within one is a dot.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from shaper.report.drawing import (
    WIDTH,
    arm_colour,
    arm_dashes,
    bitrate,
    legend_below,
    light,
)
from shaper.report.flow import Flow
from shaper.report.panel import Panel, in_order
from shaper.report.rate import WINDOW, Reads, window_rates

WINDOWS = 12  # at least, where flows last longer than a few seconds
DRAWN = 6  # single flows of each arm
ACROSS = 3  # panels beside one another, at most
SHOWN = 0.25  # of the flows must live through a window for it to be shown


@dataclass(frozen=True, slots=True)
class Throughput:
    """Rates in bit/s in windows that end at `seconds`: the median, and the band that holds 80 % of the flows."""

    panel: Panel
    arm: str
    flows: int
    seconds: tuple[float, ...]
    low: tuple[float, ...]
    median: tuple[float, ...]
    high: tuple[float, ...]
    goodput: float  # of the middle flow
    duration: float  # of the middle flow
    asked: float | None
    single: tuple[Reads, ...]


def throughputs(flows: Sequence[Flow]) -> list[Throughput]:
    """Take the flows of each media class, probe and arm together, in windows that are one size in each panel."""
    made = []
    for _, of_panel in groupby(flows, key=lambda flow: flow.panel):
        same = list(of_panel)
        span = float(np.quantile([flow.duration for flow in same], 0.9))
        width = max(span / 24, WINDOW if span >= 4 * WINDOW else span / WINDOWS)
        made += [_together(list(of_arm), width) for _, of_arm in groupby(same, key=lambda flow: flow.arm)]
    return made


def _together(flows: list[Flow], width: float) -> Throughput:
    rates = [window_rates(flow.reads, width, flow.duration) for flow in flows]
    table = np.full((len(flows), max(map(len, rates), default=0)), np.nan)
    for row, series in zip(table, rates, strict=True):
        row[: series.size] = series
    table = table[:, np.mean(~np.isnan(table), axis=0) >= SHOWN]
    bands = np.nanquantile(table, [0.1, 0.5, 0.9], axis=0) if table.size else np.zeros((3, 0))
    low, median, high = (tuple(map(float, series)) for series in bands)
    start = float(np.median([flow.reads[0][0] for flow in flows]))
    asked = {flow.rate for flow in flows if flow.rate}
    return Throughput(
        panel=flows[0].panel,
        arm=flows[0].arm,
        flows=len(flows),
        seconds=tuple(start + width * (step + 1) for step in range(len(median))),
        low=low,
        median=median,
        high=high,
        goodput=float(np.median([flow.goodput for flow in flows])),
        duration=float(np.median([flow.duration for flow in flows])),
        asked=asked.pop() if len(asked) == 1 else None,
        single=tuple(flow.reads for flow in flows[:: max(1, len(flows) // DRAWN)][:DRAWN]),
    )


def draw(found: Sequence[Throughput], arms: Sequence[str]) -> Figure:
    """Draw the panels, a few in each row: bytes above, rates below."""
    panels = in_order(one.panel for one in found)
    rows = -(-max(len(panels), 1) // ACROSS)
    columns = -(-max(len(panels), 1) // rows)
    figure = Figure(figsize=(WIDTH, 0.4 + 4.8 * rows), layout="constrained")
    plots = figure.subplots(2 * rows, columns, squeeze=False)
    for place in range(rows * columns):
        row, column = divmod(place, columns)
        top, bottom = plots[2 * row][column], plots[2 * row + 1][column]
        if place >= len(panels):
            top.set_visible(False)
            bottom.set_visible(False)
            continue
        top.sharex(bottom)
        top.tick_params(labelbottom=False)
        _draw_panel(top, bottom, [one for one in found if one.panel == panels[place]], arms)
        if column == 0:
            top.set_ylabel("received, kB")
            bottom.set_ylabel("throughput")
    legend_below(figure, list(plots.flat))
    return figure


def _draw_panel(top: Axes, bottom: Axes, own: Sequence[Throughput], arms: Sequence[str]) -> None:
    top.set_title(str(own[0].panel))
    for one in own:
        _draw_bytes(top, one, arms)
        _draw_rates(bottom, one, arms)
    configured = sorted({one.asked for one in own if one.asked})
    for asked in configured:
        _draw_asked(top, bottom, asked, "bottom" if asked == configured[-1] else "top")
    bottom.set(yscale="log", xlabel="seconds since the request")
    least, most = bottom.get_ylim()
    if most < 10 * least:  # else no tick has a label
        bottom.set_ylim((least * most) ** 0.5 / 5, (least * most) ** 0.5 * 5)
    bottom.yaxis.set_major_formatter(FuncFormatter(lambda value, _: bitrate(value)))
    bottom.yaxis.set_minor_formatter(NullFormatter())
    bottom.xaxis.set_major_locator(MaxNLocator(4))


def _draw_bytes(plot: Axes, one: Throughput, arms: Sequence[str]) -> None:
    for reads in one.single:
        times, sizes = np.asarray(reads, dtype=float).T
        plot.step(
            np.r_[0, times], np.r_[0, np.cumsum(sizes) / 1000], where="post", linewidth=0.9,
            color=arm_colour(arms, one.arm), linestyle=arm_dashes(arms, one.arm),
        )  # fmt: skip


def _draw_rates(plot: Axes, one: Throughput, arms: Sequence[str]) -> None:
    colour = arm_colour(arms, one.arm)
    if len(one.median) < 2:
        plot.plot(
            [one.duration], [one.goodput], marker="o", linestyle="", color=colour, label=f"{one.arm} (whole flow)"
        )
        return
    floor = max(one.median) / 100
    times = np.r_[2 * one.seconds[0] - one.seconds[1], one.seconds]
    low, median, high = (np.maximum(np.r_[series[0], series], floor) for series in (one.low, one.median, one.high))
    plot.fill_between(times, low, high, step="pre", color=colour, alpha=0.15, linewidth=0)
    plot.step(times, median, where="pre", color=colour, linestyle=arm_dashes(arms, one.arm), label=one.arm)


def _draw_asked(top: Axes, bottom: Axes, asked: float, beside: Literal["bottom", "top"]) -> None:
    ideal: dict[str, Any] = {"color": light("ink"), "linewidth": 1.0, "linestyle": (0, (1, 2))}
    (left, right), (_, most) = top.get_xlim(), top.get_ylim()
    end = min(right, most * 8000 / asked)
    top.plot([0, end], [0, end * asked / 8000], **ideal)
    top.set(xlim=(min(left, 0), right), ylim=(0, most))
    bottom.axhline(asked, label="as configured", **ideal)
    bottom.annotate(bitrate(asked), (0.99, asked), xycoords=("axes fraction", "data"), ha="right", va=beside)

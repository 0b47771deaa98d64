"""Images over time: the share of a page's images that were complete so many seconds after navigation began.

Pages are kept apart: one with more images must not outweigh another.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
from matplotlib.figure import Figure

from shaper.report.drawing import WIDTH, arm_colour, arm_dashes, arm_width, in_seconds, legend_below, light

MARKS = (5.0, 10.0, 30.0)
STEP = 0.01  # times are counted in steps of a percent


@dataclass(frozen=True, slots=True)
class Completion:
    """Of `images` in `loads` loads of one page, arm and probe, the share complete at each time, and at the marks."""

    page: str
    arm: str
    probe: str
    loads: int
    images: int
    seconds: tuple[float, ...]
    share: tuple[float, ...]
    marks: tuple[float | None, ...]


def completions(db: duckdb.DuckDBPyConnection, arms: Sequence[str]) -> list[Completion]:
    """Count the images of every page load, by page, arm and probe."""
    marks = ", ".join(f"avg(browser.images_complete['{mark:g}'])" for mark in MARKS)
    totals = db.execute(f"""
        SELECT object, arm, probe, count(*), sum(browser.images)::BIGINT, [{marks}]
        FROM samples WHERE browser.images > 0 GROUP BY ALL
    """).fetchall()  # noqa: S608
    steps = db.execute(f"""
        SELECT object, arm, probe, exp(ceil(ln(greatest(image."end", 1e-3)) / {STEP}) * {STEP}) AS seconds, count(*)
        FROM (SELECT object, arm, probe, unnest(browser.resources) AS image FROM samples WHERE browser.images > 0)
        WHERE image.media = 'image' AND image."end" IS NOT NULL GROUP BY ALL ORDER BY seconds
    """).fetchall()  # noqa: S608
    made = []
    for page, arm, probe, loads, images, at_marks in totals:
        times = [(seconds, count) for *key, seconds, count in steps if key == [page, arm, probe]]
        share = tuple(float(min(1.0, part)) for part in np.cumsum([count for _, count in times]) / images)
        made.append(
            Completion(page, arm, probe, loads, images, tuple(seconds for seconds, _ in times), share, tuple(at_marks))
        )
    return sorted(made, key=lambda one: (one.page, one.probe, list(arms).index(one.arm)))


def draw(found: Sequence[Completion], arms: Sequence[str]) -> Figure:
    """Draw a panel for each page and a curve for each arm; several probes are told apart by their names."""
    pages = list(dict.fromkeys(one.page for one in found))
    figure = Figure(figsize=(WIDTH, 0.8 + 2.7 * len(pages)), layout="constrained")
    plots = figure.subplots(len(pages), 1, sharex=True, squeeze=False)[:, 0]
    several = len({one.probe for one in found}) > 1
    begin = min((one.seconds[0] for one in found if one.seconds), default=1.0) / 1.5
    end = 1.3 * max([MARKS[-1], *(one.seconds[-1] for one in found if one.seconds)])
    for one in found:
        times, share = np.r_[begin, one.seconds, end], 100 * np.r_[0, one.share, one.share[-1:] or 0]
        name = f"{one.arm} by {one.probe}" if several else one.arm
        colour, dashes = arm_colour(arms, one.arm), arm_dashes(arms, one.arm)
        plot, width = plots[pages.index(one.page)], arm_width(arms, one.arm)
        plot.step(times, share, where="post", color=colour, linestyle=dashes, linewidth=width, label=name)
    for page, plot in zip(pages, plots, strict=True):
        for mark in MARKS:
            plot.axvline(mark, color=light("quiet"), linewidth=0.8, linestyle=(0, (1, 3)))
            plot.annotate(f"{mark:g} s", (mark, 101), ha="center", va="bottom", fontsize=9, annotation_clip=False)
        if len(pages) > 1:
            plot.set_title(page, loc="left")
        plot.set(xscale="log", ylim=(-2, 102), xlim=(begin, end))
        plot.set_ylabel("images complete, %")
    plots[-1].set_xlabel("time since navigation began")
    in_seconds("x", plots[-1])
    legend_below(figure, list(plots))
    return figure

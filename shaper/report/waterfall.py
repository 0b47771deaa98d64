"""A page, resource by resource: for each arm the load that lay in the middle of all its loads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from shaper.report.drawing import WIDTH, light, seconds

COLOURS = {"image": "arm-2", "video": "arm-4", "audio": "arm-5", "other": "arm-1"}
LEAST_HEIGHT, ROW = 1.1, 0.13  # inches


@dataclass(frozen=True, slots=True)
class Bar:
    """One resource of a page: seconds since navigation began."""

    name: str
    media: str
    start: float
    response: float | None
    end: float | None


@dataclass(frozen=True, slots=True)
class Waterfall:
    """One page load."""

    arm: str
    page: str
    probe: str
    loads: int  # of which this is the middle one
    load: float | None
    watched: float
    bars: tuple[Bar, ...]


def waterfalls(db: duckdb.DuckDBPyConnection, arms: Sequence[str]) -> list[Waterfall]:
    """Pick one load an arm: of the page and probe with the most loads, the one in the middle, unfinished ones last."""
    rows = db.execute("""
        WITH pages AS (
            SELECT *, coalesce(browser.load, 'inf'::DOUBLE) AS took FROM samples WHERE len(browser.resources) > 0
        ), one AS (SELECT object, probe FROM pages GROUP BY ALL ORDER BY count(*) DESC, object, probe LIMIT 1)
        SELECT arm, object, probe, count(*) OVER same, browser.load, duration, browser.resources
        FROM pages SEMI JOIN one USING (object, probe)
        WINDOW same AS (PARTITION BY arm)
        QUALIFY row_number() OVER (PARTITION BY arm ORDER BY took, run, id) = (count(*) OVER same + 1) // 2
    """).fetchall()
    made = [
        Waterfall(arm, page, probe, loads, load, watched, tuple(map(_bar, resources)))
        for arm, page, probe, loads, load, watched, resources in rows
    ]
    return sorted(made, key=lambda one: list(arms).index(one.arm))


def _bar(resource: dict[str, Any]) -> Bar:
    return Bar(*(resource[key] for key in ("name", "media", "start", "response", "end")))


def draw(found: Sequence[Waterfall]) -> Figure:
    """Draw the loads one below the other, on one axis of time. The wait for a response is drawn thin."""
    heights = [max(LEAST_HEIGHT, ROW * len(one.bars)) for one in found]
    figure = Figure(figsize=(WIDTH, 0.8 + sum(heights) + 0.35 * len(found)), layout="constrained")
    plots = figure.subplots(len(found), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    media = []
    for one, plot in zip(found, plots, strict=True):
        loaded = f"loaded after {seconds(one.load)}" if one.load else f"not loaded within {seconds(one.watched)}"
        plot.set_title(f"{one.arm}: {loaded}")
        for row, bar in enumerate(sorted(one.bars, key=lambda bar: bar.start)):
            end = bar.end if bar.end is not None else one.watched
            begins = min(bar.response if bar.response is not None else end, end)
            kind = bar.media if bar.media in COLOURS else "other"
            media.append(kind)
            colour = light(COLOURS[kind])
            plot.barh(-row, begins - bar.start, left=bar.start, height=0.25, color=colour)
            plot.barh(-row, end - begins, left=begins, height=0.8, color=colour, hatch="" if bar.end else "xx")
        if one.load:
            plot.axvline(one.load, color=light("ink"), linewidth=1)
        plot.set_yticks([])
        plot.grid(visible=False, axis="y")
        plot.set_ylim(-len(one.bars), 1)
    plots[-1].set_xlabel("seconds since navigation began")
    plots[-1].set_xlim(0, None)
    handles = [Patch(color=light(COLOURS[kind]), label=kind) for kind in COLOURS if kind in media]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles) or 1)
    return figure

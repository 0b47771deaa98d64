"""The page: one HTML file with its style and pictures inside it, to be read without this program, script or network."""

from collections.abc import Callable
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from shaper.report import comparison, completion, distribution, ledger, throughput, waterfall
from shaper.report.claim import joined
from shaper.report.drawing import TIMES, adapting_svg, palette_css
from shaper.report.study import Study
from shaper.report.table import Table


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure with what it shows, in a line for those who see it and in a title for those who do not."""

    title: str
    caption: str
    has_data: Callable[[Study], object]
    draw: Callable[[Study], Figure]


PICTURES = {
    "differences": Picture(
        "Factors by which times differ from the reference, with intervals",
        "Each dot is an estimate, each bar its 95 % interval. A dot is filled where the arms are told apart after "
        "judging all comparisons together. An arrow: the data do not reach that end.",
        lambda study: any(one.factor for one in study.differences),
        lambda study: comparison.draw(study.differences, study.arms),
    ),
    "distributions": Picture(
        "Share complete against time, for each arm",
        "Of all transfers begun, the share that was complete after so long. A curve that ends below 100 % leaves out "
        "transfers that timed out or failed.",
        lambda study: study.distributions,
        lambda study: distribution.draw(study.distributions, study.arms),
    ),
    "throughput": Picture(
        "Bytes and throughput against time, for each arm, with the configured rate",
        "Above, single flows: a straight line is smooth, steps are windows, a leap and then an uneven line is a "
        "policer. Below, all flows: the middle rate and the band that holds 80 % of them. Dotted: as configured.",
        lambda study: study.throughputs,
        lambda study: throughput.draw(study.throughputs, study.arms),
    ),
    "ledger": Picture(
        "Mean time of a transfer by what it waited for",
        "What transfers waited for, by the proxies' own account. The parts sum to the time that the client waited.",
        lambda study: study.ledgers,
        lambda study: ledger.draw(study.ledgers),
    ),
    "waterfall": Picture(
        "Resources of one page load for each arm",
        "For each arm the load that lay in the middle of all its loads. Thin: waiting for the response. Thick: "
        "receiving it. The line is the load event.",
        lambda study: study.waterfalls,
        lambda study: waterfall.draw(study.waterfalls),
    ),
    "completion": Picture(
        "Share of images complete against time, for each arm",
        "The share of the page's images that were complete so long after navigation began.",
        lambda study: study.completions,
        lambda study: completion.draw(study.completions, study.arms),
    ),
}


def drawn(study: Study) -> dict[str, Figure]:
    """Draw every picture that there are data for."""
    return {name: picture.draw(study) for name, picture in PICTURES.items() if picture.has_data(study)}


def svgs(figures: dict[str, Figure]) -> dict[str, str]:
    """Return the figures as SVG that turns with the reader's preference."""
    return {
        name: adapting_svg(figure, name, PICTURES[name].title, PICTURES[name].caption)
        for name, figure in figures.items()
    }


def page(study: Study, tables: dict[str, Table], pictures: dict[str, str]) -> str:
    """Return the page."""
    templates = Environment(
        loader=PackageLoader("shaper.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    figures = {
        name: {"svg": Markup(svg), "title": PICTURES[name].title, "caption": PICTURES[name].caption}  # noqa: S704
        for name, svg in pictures.items()
    }
    style, _, _ = templates.loader.get_source(templates, "page.css") if templates.loader else ("", None, None)
    return templates.get_template("page.html").render(
        study=study, tables=tables, figures=figures, palette=Markup(palette_css()), style=Markup(style),  # noqa: S704
        summary=summary(study), times=TIMES,
    )  # fmt: skip


def summary(study: Study) -> str:
    """Say in a few lines what was done."""
    others = joined(study.arms[1:]) if study.arms[1:] else "nothing"
    begun = sum(one.begun for one in study.distributions)
    timeouts, errors = (sum(getattr(one, kind) for one in study.distributions) for kind in ("timeouts", "errors"))
    corrupt = sum(one.corrupt for one in study.distributions)
    return (
        f"Compared with {study.reference}: {others}, in {study.blocks} blocks, back to back and in random order. "
        f"{begun} samples: {timeouts} timed out, {errors} failed, "
        + (f"{corrupt} arrived with another hash." if corrupt else "none that was checked arrived with another hash.")
    )

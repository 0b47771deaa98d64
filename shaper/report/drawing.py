"""Figures that adapt: one drawing serves the page in light, in the dark and in print, and as a file of its own.

Figures are drawn in the light palette. In the SVG every colour of the palette becomes a CSS variable with that colour
as its fallback, so a style sheet can turn it, and text stays text. Arms differ by colour and by dashes; every colour
has a contrast of 3 to 1 with its background, and ink of 4.5 to 1 (WCAG 2.2, 1.4.3 and 1.4.11).
"""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from shaper.policy.units import format_duration, format_rate

# name: (light, dark)
PALETTE = {
    "paper": ("#fefefe", "#12161b"),
    "ink": ("#1b1f24", "#e6eaef"),
    "quiet": ("#59626d", "#a3adb8"),
    "grid": ("#dfe3e8", "#2d343c"),
    "reference": ("#4d5865", "#b3bdc8"),
    "arm-1": ("#0b62b8", "#66b0ff"),
    "arm-2": ("#b4430a", "#ff9a5a"),
    "arm-3": ("#0b7a53", "#45cf9b"),
    "arm-4": ("#8a2f8f", "#e58de6"),
    "arm-5": ("#7a6000", "#d9bd3c"),
    "arm-6": ("#a3123f", "#ff8aa5"),
    "arm-7": ("#00707a", "#4fd0d9"),
}
DASHES: tuple[str | tuple[int, tuple[int, ...]], ...] = ("-", (0, (6, 2)), (0, (2, 1)), (0, (6, 2, 1, 2)))
TIMES = "\N{MULTIPLICATION SIGN}"
WIDTH = 9.0  # inches: the page's column
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "hatch.linewidth": 0.8,
}


def light(name: str) -> str:
    """Return a colour of the palette, to draw with."""
    return PALETTE[name][0]


def arm_colour(arms: Sequence[str], arm: str) -> str:
    """Return the colour of an arm; the first is the reference."""
    place = list(arms).index(arm)
    return light("reference" if place == 0 else f"arm-{(place - 1) % 7 + 1}")


def arm_dashes(arms: Sequence[str], arm: str) -> str | tuple[int, tuple[int, ...]]:
    """Return the dashes of an arm's line, so that arms are told apart without colour too."""
    return DASHES[list(arms).index(arm) % len(DASHES)]


def arm_width(arms: Sequence[str], arm: str) -> float:
    """Return the width of an arm's line: the reference is broad, so that it shows under one that covers it."""
    return 3.4 if arm == arms[0] else 1.8


@contextmanager
def styled() -> Iterator[None]:
    """Draw in this report's style."""
    colours: dict[Any, Any] = {
        **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), light("ink")),
        **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color", "hatch.color"), light("quiet")),
        **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), light("paper")),
        "grid.color": light("grid"),
    }
    with mpl.rc_context({**STYLE, **colours}):
        yield


def grid_of_panels(count: int, height: float = 2.6, across: int = 3) -> tuple[Figure, list[Axes]]:
    """Return a figure with so many panels, a few in each row, on one vertical axis."""
    rows, columns = -(-max(count, 1) // across), min(max(count, 1), across)
    figure = Figure(figsize=(WIDTH, 0.6 + rows * height), layout="constrained")
    panels = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
    for spare in panels[max(count, 1) :]:
        spare.set_visible(False)
    return figure, panels


def legend_below(figure: Figure, panels: Sequence[Axes]) -> None:
    """Put one legend for all panels below them."""
    named = {label: handle for plot in panels for handle, label in zip(*plot.get_legend_handles_labels(), strict=True)}
    figure.legend(list(named.values()), list(named), loc="outside lower center", ncols=min(len(named), 5) or 1)


def in_seconds(axis: str, axes: Axes) -> None:
    """Label a logarithmic axis of time as people say it."""
    getattr(axes, f"{axis}axis").set_major_formatter(FuncFormatter(lambda value, _: seconds(value)))


def seconds(value: float) -> str:
    """Return a time with its unit, in three digits."""
    return format_duration(float(value), 3)


def bitrate(value: float) -> str:
    """Return a rate with its unit, in three digits."""
    return format_rate(float(value), 3)


def adapting_svg(figure: Figure, name: str, title: str, description: str) -> str:
    """Return the figure as an SVG element whose colours are variables and whose ids begin with `name`."""
    text = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    figure.set_layout_engine("none")  # it is laid out now, which takes longer than drawing
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style type=.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r" font-family: [^;\"]*;", "", svg)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(url\(#|xlink:href="#)', rf"\1{name}-", svg)
    for colour, (hex_value, _) in PALETTE.items():
        svg = svg.replace(hex_value, f"var(--{colour}, {hex_value})")
    # A pattern's colours are attributes, and attributes know no variables.
    svg = re.sub(r'fill="(var\([^"]*\))"', r'style="fill: \1"', svg)
    head = f'<svg role="img" aria-labelledby="{name}-title {name}-desc" stroke-linejoin="round" '
    titled = f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
    return re.sub(
        r'^<svg (.*?)width="[^"]*" height="[^"]*" (.*?)>', rf"{head}\1\2>{titled}", svg, count=1, flags=re.DOTALL
    )


def palette_css() -> str:
    """Return the style sheet that turns the palette with the reader's preference. Print is always light."""
    lights = " ".join(f"--{name}: {pair[0]};" for name, pair in PALETTE.items())
    darks = " ".join(f"--{name}: {pair[1]};" for name, pair in PALETTE.items())
    return f":root {{ {lights} }}\n@media screen and (prefers-color-scheme: dark) {{ :root {{ {darks} }} }}\n"


def write_files(figure: Figure, svg: str, path: Path) -> None:
    """Write the figure beside the page: an SVG that adapts by itself, and a PNG for slides."""
    style = f"<style>{palette_css()} svg {{ font-family: system-ui, sans-serif; background: var(--paper); }}</style>"
    path.with_suffix(".svg").write_text(svg.replace("<title", f"{style}<title", 1), encoding="utf-8")
    figure.savefig(path.with_suffix(".png"), dpi=150)

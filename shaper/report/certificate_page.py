"""A calibration certificate as one self-contained page: the verdict, the figures, and lines against the ideal one."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from matplotlib.figure import Figure as Drawing

from shaper.measure.calibration import Figure
from shaper.measure.certificate import Certificate
from shaper.measure.line import Line
from shaper.policy.units import format_duration, format_rate, format_size
from shaper.report.drawing import (
    WIDTH,
    adapting_svg,
    grid_of_panels,
    legend_below,
    light,
    palette_css,
    styled,
)

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; background: var(--paper); color: var(--ink); margin: 2rem auto;
  max-width: 60rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--grid); }
th { color: var(--quiet); font-weight: 600; }
.wide { overflow-x: auto; } svg { width: 100%; height: auto; } code { overflow-wrap: anywhere; }
"""

COLUMNS = (
    "cap",
    "protocol",
    "achieved / configured",
    "at once",
    "behind the ideal line",
    "longest gap",
    "beside it",
    "",
)


def write_page(certificate: Certificate, lines: Sequence[tuple[Figure, Line]], path: Path) -> Path:
    """Write the page and return where it is."""
    with styled():
        ratios = adapting_svg(_ratios(certificate), "ratios", "Achieved over configured rate", "One mark a rate.")
        shapes = adapting_svg(_shapes(lines), "lines", "Bytes against time", "Each rate with its ideal line.")
    verdict = "Passed" if certificate.passed else "Failed"
    rows = "".join(_row(figure) for figure in certificate.figures)
    heads = "".join(f'<th scope="col">{name}</th>' for name in COLUMNS)
    versions = ", ".join(f"{name} {version}" for name, version in certificate.versions.items())
    path.write_text(
        f"""<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>Calibration: {verdict}</title>
<style>{palette_css()}{STYLE}</style></head><body><main>
<h1>Calibration: {verdict}</h1>
<p>Made {certificate.made:%Y-%m-%d %H:%M} UTC, valid until {certificate.valid_until:%Y-%m-%d}, on
{escape(certificate.machine)}, with {escape(versions)}.<br>
Policies: {escape(", ".join(digest[:19] for digest in certificate.policies) or "none in particular")}.
Loop lag, 99th percentile: at most {format_duration(certificate.lag)}.<br>
<code>{certificate.digest}</code></p>
{ratios}
<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>
<h2>Bytes against time</h2>{shapes}
</main></body></html>
""",
        encoding="utf-8",
    )
    return path


def _row(figure: Figure) -> str:
    cells = (
        _cap(figure),
        figure.protocol,
        f"{figure.ratio:.4f} [{figure.low:.4f}, {figure.high:.4f}]",
        f"{format_size(figure.burst)} of {format_size(figure.burst_configured)}",
        format_size(figure.distance),
        format_duration(figure.gap, 3),
        format_duration(figure.latency, 3),
        "ok" if figure.ok else "; ".join(figure.misses),
    )
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def _ratios(certificate: Certificate) -> Drawing:
    drawing = Drawing(figsize=(WIDTH, 2.6), layout="constrained")
    plot = drawing.subplots()
    tolerance = certificate.tolerance.ratio
    plot.axhspan(1 - tolerance, 1 + tolerance, color=light("grid"), label="tolerance")
    plot.axhline(1.0, color=light("reference"), linewidth=1.0)
    for place, protocol in enumerate(("h1", "h2")):
        mine = [figure for figure in certificate.figures if figure.protocol == protocol]
        middle = [figure.ratio for figure in mine]
        spread = [[f.ratio - f.low for f in mine], [f.high - f.ratio for f in mine]]
        where = [index + (place - 0.5) * 0.2 for index in range(len(mine))]
        plot.errorbar(
            where, middle, yerr=spread, fmt="so"[place], color=light(f"arm-{place + 1}"), label=protocol, capsize=3
        )
    caps = {figure.asked: _cap(figure) for figure in certificate.figures}
    plot.set_xticks(range(len(caps)), list(caps.values()))
    plot.set_ylabel("achieved / configured")
    legend_below(drawing, [plot])
    return drawing


def _shapes(lines: Sequence[tuple[Figure, Line]]) -> Drawing:
    drawing, panels = grid_of_panels(len(lines))
    for plot, (figure, line) in zip(panels, lines, strict=False):
        total, at, steps = 0, [0.0], [0.0]
        for instant, count in line:
            total += count
            at.append(instant - line[0][0])
            steps.append(total)
        due, sizes = _ideal(figure, total)
        style = "steps-post" if figure.window else "default"
        shares = [size / total for size in sizes]
        plot.plot(due, shares, drawstyle=style, color=light("reference"), linewidth=3.4, label="ideal")
        plot.step(
            at, [step / total for step in steps], where="post", color=light("arm-1"), linewidth=1.2, label="client"
        )
        plot.set_title(f"{_cap(figure)} over {figure.protocol}")
        plot.set_xlabel("seconds")
        plot.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    legend_below(drawing, panels)
    return drawing


def _cap(figure: Figure) -> str:
    rate = format_rate(figure.rate, 3)
    return f"{rate}, each {format_duration(figure.window)}" if figure.window else rate


def _ideal(figure: Figure, total: int) -> tuple[list[float], list[int]]:
    """Return the ideal line's instants and the bytes due by then."""
    at_once = min(figure.burst_configured, total)
    if not figure.window:
        return [0.0, (total - at_once) * 8 / figure.rate], [at_once, total]
    windows = range(-(-total // at_once))
    return [number * figure.window for number in windows], [min((number + 1) * at_once, total) for number in windows]

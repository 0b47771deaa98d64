"""The figures of a study side by side, as a page for the docs, and two of its report's pictures.

    python studies/summary.py RUN docs/announced-and-measured.md

Each row's arms are set against the reference within blocks; the factor is the Hodges-Lehmann estimate with its 95 %
interval, as in the report. A figure that never came counts as longer than it was watched.
"""

import math
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile

import numpy as np

from shaper.measure.run import Outcome, Resource, Run, Sample
from shaper.report.drawing import TIMES
from shaper.report.pairs import shift

PICTURES = ("waterfall", "completion")
BEGIN, END = "<!-- study -->", "<!-- /study -->"

type Figure = Callable[[Sample], float]


def took(sample: Sample) -> float:
    return sample.duration if sample.outcome is Outcome.COMPLETE else math.inf


def page(name: str) -> Figure:
    """Return what reads one of a browser's times; one that never came is longer than it was watched."""
    return lambda sample: math.inf if (value := getattr(sample.browser, name)) is None else value


def count(name: str) -> Figure:
    return lambda sample: math.nan if (value := getattr(sample.browser, name)) is None else value


def images(after: int) -> Figure:
    return lambda sample: 100 * (sample.browser.images_complete or {}).get(str(after), math.nan)


def last(of: Callable[[Resource], bool]) -> Figure:
    """Return what tells when the last of some resources of a page was there."""

    def read(sample: Sample) -> float:
        ends = [one.end for one in sample.browser.resources if of(one)]
        return max((math.inf if end is None else end for end in ends), default=math.inf)

    return read


@dataclass(frozen=True)
class Row:
    """One figure of one object. Times are set against the reference as factors; all else stands by itself."""

    label: str
    object: str
    figure: Figure
    unit: str | None = None  # None: a time


ROWS = (
    Row("images complete after 5 s", "page", images(5), "%"),
    Row("images complete after 10 s", "page", images(10), "%"),
    Row("images complete after 30 s", "page", images(30), "%"),
    Row("last image complete", "page", last(lambda one: one.media == "image")),
    Row("last script complete", "page", last(lambda one: one.name.endswith(".js"))),
    Row("time to interactive", "page", page("interactive")),
    Row("largest contentful paint", "page", page("lcp")),
    Row("page load", "page", page("load")),
    Row("video begins (hls.js)", "video", page("video_join")),
    Row("video stands still", "video", count("rebuffer"), "s"),
    Row("bitrate switches", "video", count("switches"), ""),
    Row("photo of 56 kB", "photo", took),
    Row("script of 60 kB", "script", took),
    Row("upload of 60 kB", "upload", took),
)


def main(run: Path, output: Path) -> None:
    opened = Run.open(run)
    taken: dict[str, list[Sample]] = defaultdict(list)
    for sample in opened.samples():
        taken[sample.object].append(sample)
    arms = [arm.name for arm in opened.conditions.arms]
    reference = opened.conditions.reference
    lines = [f"| | probe | {' | '.join(arms)} |", "|---" * (2 + len(arms)) + "|"]
    for row in ROWS:
        for probe in opened.conditions.probes:
            if samples := [sample for sample in taken[row.object] if sample.probe == probe]:
                lines.append(f"| {row.label} | {probe} | {' | '.join(_cells(row, samples, arms, reference))} |")
    text = output.read_text()
    before, mark, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (mark and end):
        raise SystemExit(f"{output}: there is no place for the table; put {BEGIN} and {END} on lines of their own")
    output.write_text(f"{before}{BEGIN}\n{_provenance(opened)}\n\n" + "\n".join(lines) + f"\n{END}{after}")
    for name in PICTURES:
        copyfile(run / "report/figures" / f"{name}.png", output.parent / "img" / f"{opened.conditions.name}-{name}.png")


def _cells(row: Row, samples: list[Sample], arms: list[str], reference: str) -> Iterator[str]:
    by_arm = {arm: {one.block: one for one in samples if one.arm == arm} for arm in arms}
    for arm in arms:
        values = [row.figure(one) for one in by_arm[arm].values()]
        if row.unit is not None:
            yield f"{round(float(np.nanmean(values)), 1):g} {row.unit}".strip()
        elif arm == reference:
            yield _seconds(float(np.median(values)))
        else:
            yield f"{_seconds(float(np.median(values)))}, {_factor(row.figure, by_arm[arm], by_arm[reference])}"


def _factor(figure: Figure, arm: dict[str, Sample], reference: dict[str, Sample]) -> str:
    pairs = [(arm[block], reference[block]) for block in arm if block in reference]
    bounds = [(_bounds(figure, treated), _bounds(figure, control)) for treated, control in pairs]
    found = shift(
        np.array([treated[0] - control[1] for treated, control in bounds]),
        np.array([treated[1] - control[0] for treated, control in bounds]),
    )
    estimate = "" if found.estimate[0] == found.estimate[1] else "at least "
    low, high = (f"{math.exp(end):.3g}" if math.isfinite(end) else "open" for end in (found.lower, found.upper))
    return f"{estimate}{TIMES}{math.exp(found.estimate[0]):.3g} [{low}, {high}]"


def _bounds(figure: Figure, sample: Sample) -> tuple[float, float]:
    """Return the least and the most that the logarithm of a time can be."""
    value = figure(sample)
    return math.log(value if math.isfinite(value) else sample.duration), math.log(value) if value < math.inf else value


def _seconds(value: float) -> str:
    return "never" if math.isinf(value) else f"{value:.3g} s" if value >= 1 else f"{1000 * value:.3g} ms"


def _provenance(run: Run) -> str:
    conditions = run.conditions
    arms = "; ".join(f"{arm.name}: {arm.policy[:19] if arm.policy else 'no proxy'}" for arm in conditions.arms)
    certificate = next((arm.certificate for arm in conditions.arms if arm.certificate), None)
    return (
        f"Plan {conditions.plan[:19]}, {conditions.started[:10]}, {conditions.machine['cores']} cores "
        f"({conditions.machine['system']}). Policies: {arms}. Certificate: {(certificate or 'none')[:19]}."
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

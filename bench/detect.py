"""Scores `shaper detect` on runs whose truth is labelled: confusion matrices and ROC.

    python -m bench.flows RUN …; python -m bench.detect RUN… [-o FILE.json]

A row is a truth and a rate, a column is what it was said to look like. The line is what unshaped flows of a megabyte
or more got in the same block. ROC is of each look's score against all flows of other manners, long enough to tell.
"""

import argparse
import json
from collections import Counter
from pathlib import Path
from statistics import median

from scipy.stats import rankdata

from shaper.measure.run import Run
from shaper.report.signature import LOOKS, Look, signature


def judged(run):
    """Yield the truth, its rate and what the flow looks like."""
    samples = list(run.samples())
    lines = {}
    for block in {sample.block for sample in samples}:
        free = [
            8 * sample.received / sample.duration
            for sample in samples
            if sample.block == block and sample.truth.manner == "none" and sample.received >= 1_000_000
        ]
        lines[block] = median(free)
    for sample in samples:
        yield sample.truth.manner, sample.truth.rate, signature(sample.line, lines[sample.block])


def roc(scores, truths):
    """Return the curve as (false alarms, hits), and the area under it (Mann and Whitney's U)."""
    positive, negative = sum(truths), len(truths) - sum(truths)
    if not positive or not negative:
        return [], None
    area = (sum(r for r, t in zip(rankdata(scores), truths, strict=True) if t) - positive * (positive + 1) / 2) / (
        positive * negative
    )
    points = [
        (
            sum(s >= limit and not t for s, t in zip(scores, truths, strict=True)) / negative,
            sum(s >= limit and t for s, t in zip(scores, truths, strict=True)) / positive,
        )
        for limit in sorted(set(scores), reverse=True)
    ]
    return points, float(area)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("runs", nargs="+", type=Path)
    options.add_argument("-o", "--output", type=Path)
    asked = options.parse_args()
    flows = [one for run in asked.runs for one in judged(Run.open(run))]
    matrix = Counter((manner, rate or 0, found.look) for manner, rate, found in flows)
    print(f"{len(flows)} flows\n\n{'truth':<22}" + "".join(f"{look:>14}" for look in Look))
    for manner in LOOKS:
        for rate in sorted({rate for kind, rate, _ in matrix if kind == manner}):
            name = f"{manner} {rate / 1000:g} kbit/s" if rate else manner
            print(f"{name:<22}" + "".join(f"{matrix[manner, rate, look]:>14}" for look in Look))
    right = sum(count for (manner, _, look), count in matrix.items() if LOOKS[manner] is look)
    unsure = sum(count for (_, _, look), count in matrix.items() if look is Look.INCONCLUSIVE)
    print(f"\nright {right / len(flows):.0%}, inconclusive {unsure / len(flows):.0%}, "
          f"wrong {1 - (right + unsure) / len(flows):.0%}\n")  # fmt: skip
    told = [(manner, found.figures) for manner, _, found in flows if found.figures]
    curves = {}
    for manner in ("smooth", "window", "police"):
        scores = [getattr(seen, LOOKS[manner]) for _, seen in told]
        curves[manner], area = roc(scores, [kind == manner for kind, _ in told])
        if area is not None:
            print(f"area under ROC, {manner}: {area:.3f} over {len(told)} flows")
    if asked.output:
        cells = [{"truth": m, "rate": r, "look": look, "flows": n} for (m, r, look), n in matrix.items()]
        asked.output.write_text(json.dumps({"confusion": cells, "roc": curves}, indent=1))


if __name__ == "__main__":
    main()

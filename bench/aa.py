"""Equal arms and a known slowdown on the real proxy: how often `shaper report` tells each from the reference.

    python -m bench.aa [RUN …]

Six runs of `shaper measure` at once, each with three arms: `same` and `again` have one policy, and photos take a fifth
longer under `slower`. Each run is cut into seven experiments of eight blocks, and every experiment is judged by the
function that the report's claims rest on. Five minutes on a quiet machine; runs that are given are judged anew.

Goals: equal arms are called different in no more than 5 % of the experiments; the slowdown is found as often as planned
for its size and for the spread between the equal arms. One is missed when the interval of the share (Clopper and
Pearson's, 95 %) excludes it. A busy machine makes planned power small, and neither goal easier.
"""

import argparse
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy.stats import binomtest

from shaper.measure.run import SAMPLES, Run, encode_sample
from shaper.report.comparison import LEVEL, differences
from shaper.report.database import opened
from shaper.report.power import power

RUNS, EXPERIMENTS, BLOCKS = 6, 7, 8
POLICY = """
version: 1
study: equal-arms
targets: {{photos: {{hosts: [photos.test]}}}}
rules: [{{name: slow, target: photos, media: [image], caps: [{{rate: {rate}, burst: 2 KiB}}]}}]
"""
PLAN = """
version: 1
name: equal-arms
seed: {seed}
blocks: {blocks}
washout: 10 ms
timeout: 10 s
arms:
  - {{name: same, policy: same.yaml}}
  - {{name: again, policy: same.yaml}}
  - {{name: slower, policy: slower.yaml}}
reference: same
probes: [{{name: h1, kind: h1}}, {{name: h2, kind: h2}}]
objects:
  - {{name: photo, url: "https://photos.test/bytes?size=18000&type=image/jpeg", media: image}}
  - {{name: script, url: "https://photos.test/page.js", media: other}}
"""


def measure(home):
    """Return the directories of new runs."""
    (home / "same.yaml").write_text(POLICY.format(rate="1.2 Mbit/s"))
    (home / "slower.yaml").write_text(POLICY.format(rate="1 Mbit/s"))
    runs = [home / f"run-{seed}" for seed in range(1, RUNS + 1)]
    measuring = []
    for seed, run in enumerate(runs, 1):
        plan = home / f"plan-{seed}.yaml"
        plan.write_text(PLAN.format(seed=seed, blocks=BLOCKS * EXPERIMENTS))
        command = [sys.executable, "-m", "shaper", "measure", str(plan), "-o", str(run)]
        measuring.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
    said = [process.communicate()[1] for process in measuring]
    if failed := [text for process, text in zip(measuring, said, strict=True) if process.returncode]:
        raise SystemExit(failed[0])
    return runs


def cut(run, into):
    """Yield a directory for every eight blocks in a row."""
    parts = defaultdict(list)
    for sample in Run.open(run).samples():
        number = int(sample.block.partition("/")[0])
        parts[number // BLOCKS].append(encode_sample(sample))
    for number, lines in sorted(parts.items()):
        (part := into / f"{number}").mkdir()
        (part / SAMPLES).write_bytes(b"".join(lines))
        yield part


def judge(part):
    """Return what is found of equal arms, and of the photos under the slower one."""
    with opened([part]) as db:
        equal = differences(db, ["same", "again"], "same")
        slowed = differences(db, ["same", "slower"], "same")
    return equal, [one for one in slowed if (one.metric, one.panel.media) == ("time", "image")]


def planned(runs, probe):
    """Return how much longer photos took by this probe, and the power of eight blocks to find it, by all blocks."""
    took = defaultdict(dict)
    for number, run in enumerate(runs):
        for sample in Run.open(run).samples():
            if (sample.probe, sample.object) == (probe, "photo"):
                took[number, sample.block][sample.arm] = np.log(sample.duration)
    equal = np.array([block["again"] - block["same"] for block in took.values()])
    slowed = np.median([block["slower"] - block["same"] for block in took.values()])
    return np.exp(slowed), power(equal - np.median(equal), slowed, BLOCKS)


def share(name, found):
    """Print a share with its interval, and return the interval."""
    low, high = binomtest(sum(found), len(found)).proportion_ci(0.95, "exact")
    print(f"{name}: {sum(found)} of {len(found)}, {sum(found) / len(found):.3f} [{low:.3f}, {high:.3f}]")
    return low, high


def main():
    options = argparse.ArgumentParser(prog="python -m bench.aa", description=__doc__.splitlines()[0])
    options.add_argument("runs", type=Path, nargs="*", help="judge these instead of new ones")
    asked = options.parse_args()
    judged = []
    with TemporaryDirectory(prefix="shaper-aa-") as home:
        runs = asked.runs or measure(Path(home))
        for number, run in enumerate(runs):
            (into := Path(home) / f"parts-{number}").mkdir()
            judged += [judge(part) for part in cut(run, into)]
        plans = {probe: planned(runs, probe) for probe in ("h1", "h2")}
    false, _ = share(
        "equal arms called different in any figure", [any(o.differs for o in equal) for equal, _ in judged]
    )
    met = false <= LEVEL
    for probe, (size, expected) in plans.items():
        photos = [one for _, slowed in judged for one in slowed if one.panel.probe == probe]
        _, most = share(f"photos by {probe} found to take longer", [one.shift.lower > 0 for one in photos])
        share("  and claimed to, over all comparisons", [one.differs and one.shift.lower > 0 for one in photos])
        print(f"  they took {size:.3f} times as long; planned power {expected:.3f}")
        met = met and most >= expected
    print(f"goals, at most {LEVEL:g} and at least as planned: {'met' if met else 'missed'}")
    raise SystemExit(not met)


if __name__ == "__main__":
    main()

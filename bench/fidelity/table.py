"""What a run of the bench shows, as Markdown."""

import json
from collections import defaultdict
from statistics import median

from arms import ARMS, BUCKET, POLICERS, WINDOW

from shaper.measure.run import Run
from shaper.report.permutation import permutation_ks

BEGIN, END = "<!-- made by `make bench-fidelity` -->", "<!-- end -->"
NONE = "-"
STALL = 0.2  # s without a byte; half of the longest round trip would count as one otherwise
WORDS = {arm.name: arm.words for arm in ARMS}
AGAINST = {  # the policer that each arm is held against
    BUCKET: None,
    f"{BUCKET}-again": BUCKET,
    "smooth": BUCKET,
    "police": BUCKET,
    WINDOW: None,
    f"{WINDOW}-again": WINDOW,
    "window": WINDOW,
}


def goodput(sample):
    return 8 * sample.received / sample.duration / 1000


def reached(sample, share):
    """Return when this share of the object was there."""
    had = 0
    for read in sample.reads:
        had += read.num_bytes
        if had >= share * sample.expected:
            return read.t
    return sample.timeout


def stalls(sample):
    """Return the lengths of the waits that count as stalls; a flow without any counts as one of no length."""
    waits = [read.t - read.t0 for read in sample.reads[1:]]
    return [wait for wait in waits if wait >= STALL] or [0.0]


def tables(path):
    cells = defaultdict(lambda: defaultdict(list))
    for sample in Run.open(path).samples():
        cells[sample.block.split("/")[0]][sample.arm].append(sample)
    drops = json.loads((path / "drops.json").read_text())
    return "\n".join(_table(cell, flows, drops[cell]) for cell, flows in cells.items())


def _table(cell, flows, drops):
    count = len(flows[BUCKET])
    lines = [
        f"### {cell}",
        "",
        f"{count} flows an arm.",
        "",
        "| arm | goodput, kbit/s | of its policer's | 10 / 50 / 100 %, s | stalls a flow | median stall, s "
        "| stall distance, p | drops a flow |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, against in AGAINST.items():
        samples = flows[name]
        long = [wait for sample in samples for wait in stalls(sample) if wait]
        ratio = distance = NONE
        if against:
            ratio = f"{median(map(goodput, samples)) / median(map(goodput, flows[against])):.2f}"
            found = permutation_ks(list(map(stalls, samples)), list(map(stalls, flows[against])))
            distance = f"{found.distance:.2f}, {found.p:.3f}"
        times = " / ".join(f"{median(reached(sample, share) for sample in samples):.2f}" for share in (0.1, 0.5, 1.0))
        lost = 0.0 if name in {"smooth", "window"} else _drops(name, drops, count)
        lines.append(
            f"| {WORDS[name]} | {median(map(goodput, samples)):.1f} | {ratio} | {times} | {len(long) / count:.1f} "
            f"| {f'{median(long):.2f}' if long else NONE} | {distance} | {lost:.0f} |"
        )
    return "\n".join([*lines, ""])


def _drops(name, drops, count):
    """Return packets dropped a flow. A policer in the path counts both of its arms together."""
    policer = next((each for each in POLICERS if name.startswith(each)), None)
    return drops[policer] / (2 * count) if policer else drops[name] / count

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
    """Return a summary, and a table for each cell (congestion control and round trip)."""
    cells = defaultdict(lambda: defaultdict(list))
    for sample in Run.open(path).samples():
        cells[sample.block.split("/")[0]][sample.arm].append(sample)
    drops = json.loads((path / "drops.json").read_text())
    compared = {cell: _compare(flows) for cell, flows in cells.items()}
    parts = [_table(cell, flows, compared[cell], drops[cell]) for cell, flows in cells.items()]
    return "\n".join([_summary(list(compared.values())), *parts])


def _compare(flows):
    """Return, for each arm that has a policer, its goodput over the policer's and how its stalls differ."""
    return {
        name: (
            median(map(goodput, flows[name])) / median(map(goodput, flows[against])),
            permutation_ks(list(map(stalls, flows[name])), list(map(stalls, flows[against]))),
        )
        for name, against in AGAINST.items()
        if against
    }


def _summary(cells):
    lines = [
        "| arm | held against | goodput over its | distance between stalls | cells in which p < 0.01 |",
        "|---|---|--:|--:|--:|",
    ]
    for name, against in AGAINST.items():
        if against:
            ratios, found = zip(*(cell[name] for cell in cells), strict=True)
            distances, differing = [each.distance for each in found], sum(each.p < 0.01 for each in found)
            lines.append(
                f"| {WORDS[name]} | {WORDS[against]} | {min(ratios):.2f} to {max(ratios):.2f} "
                f"| {min(distances):.2f} to {max(distances):.2f} | {differing} of {len(cells)} |"
            )
    return "\n".join([*lines, ""])


def _table(cell, flows, compared, drops):
    count = len(flows[BUCKET])
    lines = [
        f"### {cell}, {count} flows an arm",
        "",
        "| arm | goodput, kbit/s | 10 / 50 / 100 %, s | stalls a flow | median stall, s | distance, p | drops a flow |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name in AGAINST:
        samples = flows[name]
        long = [wait for sample in samples for wait in stalls(sample) if wait]
        times = " / ".join(f"{median(reached(sample, share) for sample in samples):.2f}" for share in (0.1, 0.5, 1.0))
        distance = "{0.distance:.2f}, {0.p:.3f}".format(compared[name][1]) if name in compared else NONE
        lines.append(
            f"| {WORDS[name]} | {median(map(goodput, samples)):.1f} | {times} | {len(long) / count:.1f} "
            f"| {f'{median(long):.2f}' if long else NONE} | {distance} | {_drops(name, drops, count):.0f} |"
        )
    return "\n".join([*lines, ""])


def _drops(name, drops, count):
    """Return packets dropped a flow. A policer in the path counts both of its arms together."""
    policer = next((each for each in POLICERS if name.startswith(each)), None)
    if name in {"smooth", "window"}:
        return 0
    return drops[policer] / (2 * count) if policer else drops[name] / count

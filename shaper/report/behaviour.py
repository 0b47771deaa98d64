"""How the flows of one kind behaved: the rate they settled at, what they look like, and how they differ as flows.

The line that a flow would have had is taken from the reference: the middle goodput of its flows of the same kind.
Wehe's rule is applied to each pair of flows as it would be in the field, and stands here for comparison only.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from shaper.report.flow import Flow
from shaper.report.pairs import Floats
from shaper.report.panel import Panel
from shaper.report.permutation import Comparison, permutation_ks
from shaper.report.rate import converged_rate, window_rates
from shaper.report.signature import LINE, Look, signature
from shaper.report.wehe import WeheVerdict, wehe

BUCKETS = 100  # of a flow, as Wehe cuts it; fewer when there are fewer reads to fill them


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Flows of one media class, probe and arm. Rates in bit/s."""

    panel: Panel
    arm: str
    flows: int
    asked: tuple[float, ...]
    settled: tuple[float, float, float] | None  # 10, 50, 90 % of the converged rates
    converged: int  # flows long enough to have one
    steady: int  # of these, without a change of level in their last half
    goodput: tuple[float, float, float]
    looks: Mapping[Look, int]
    times: Comparison | None  # completion times against the reference, labels shuffled within blocks
    wehe: tuple[int, int] | None  # pairs of flows that Wehe's rule calls different, of so many


def behaviours(flows: Sequence[Flow], reference: str) -> list[Behaviour]:
    """Summarise flows by media class, probe and arm."""
    made = []
    for shown, same in groupby(flows, key=lambda flow: flow.panel):
        arms = {arm: list(of_arm) for arm, of_arm in groupby(same, key=lambda flow: flow.arm)}
        control = arms.get(reference, [])
        line = float(np.median([flow.goodput for flow in control])) if control else LINE
        made += [_behaviour(shown, arm, own, [] if arm == reference else control, line) for arm, own in arms.items()]
    return made


def _behaviour(shown: Panel, arm: str, flows: Sequence[Flow], control: Sequence[Flow], line: float) -> Behaviour:
    rates = [converged_rate(flow.reads, None if flow.complete else flow.duration) for flow in flows]
    settled = [rate for rate in rates if rate is not None]
    return Behaviour(
        panel=shown,
        arm=arm,
        flows=len(flows),
        asked=tuple(sorted({flow.rate for flow in flows if flow.rate})),
        settled=_spread([rate.rate for rate in settled]) if settled else None,
        converged=len(settled),
        steady=sum(rate.steady for rate in settled),
        goodput=_spread([flow.goodput for flow in flows]),
        looks=Counter(signature(flow.reads, line).look for flow in flows),
        times=_compare(control, flows) if control else None,
        wehe=_wehe(control, flows) if control else None,
    )


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    low, middle, high = np.quantile(values, [0.1, 0.5, 0.9])
    return float(low), float(middle), float(high)


def _compare(control: Sequence[Flow], flows: Sequence[Flow]) -> Comparison:
    return permutation_ks(
        [flow.duration for flow in control],
        [flow.duration for flow in flows],
        strata=([flow.block for flow in control], [flow.block for flow in flows]),
    )


def _buckets(flow: Flow, count: int) -> Floats:
    return window_rates(flow.reads, (flow.duration - flow.reads[0][0]) / count, flow.duration)


def _wehe(control: Sequence[Flow], flows: Sequence[Flow]) -> tuple[int, int]:
    """Apply Wehe's rule to the pairs of flows of one block."""
    partners = {flow.block: flow for flow in control}
    pairs = [(partners[flow.block], flow) for flow in flows if flow.block in partners]
    cut = [
        [_buckets(flow, min(BUCKETS, *(len(one.reads) for one in pair))) for flow in pair]
        for pair in pairs
        if all(flow.duration > flow.reads[0][0] for flow in pair)
    ]
    return sum(wehe(one, other).verdict is WeheVerdict.DIFFERENT for one, other in cut), len(cut)

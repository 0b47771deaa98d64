"""Whether two sets of flows differ in distribution. The unit is the flow: labels are shuffled among whole flows.

A flow's own values (rates in windows, lengths of stalls) depend on one another, so a test that counts each of them
as independent finds differences that are not there. Here a flow weighs one, however many values it has.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shaper.report.pairs import Floats

GRID = 512  # points at which distributions are compared when there are more distinct values than that


@dataclass(frozen=True, slots=True)
class Comparison:
    """The largest distance between two distributions, and how often chance alone gives as much."""

    flows: tuple[int, int]
    distance: float
    p: float


def permutation_ks(
    first: Sequence[ArrayLike],
    second: Sequence[ArrayLike],
    strata: tuple[Sequence[Hashable], Sequence[Hashable]] | None = None,
    permutations: int = 1999,
    seed: int = 1,
) -> Comparison:
    """Compare flows (each one value or several) by the Kolmogorov-Smirnov distance under permutation of flows.

    With one value a flow the distance is the classical one (Smirnov, 1939); with several it is that between the
    averages of the flows' own distributions. Labels are shuffled within `strata` (the blocks of a paired experiment)
    when given. p counts the observed labelling as one of the permutations, so it is never 0 and the test is exact
    (Phipson and Smyth, Statistical Applications in Genetics and Molecular Biology 9(1), 2010).
    """
    flows = [np.atleast_1d(np.asarray(flow, dtype=float)) for flow in (*first, *second)]
    if not first or not second or not all(flow.size for flow in flows):
        return Comparison((len(first), len(second)), 0.0, 1.0)
    grid = _grid(np.concatenate(flows))
    curves = np.stack([np.searchsorted(np.sort(flow), grid, side="right") / flow.size for flow in flows])
    labels = np.repeat([1.0, 0.0], [len(first), len(second)])
    blocks = np.zeros(len(flows), dtype=int)
    if strata is not None:
        blocks = np.unique([hash(block) for block in (*strata[0], *strata[1])], return_inverse=True)[1]
    shuffled = _shuffled(labels, blocks, permutations, np.random.default_rng(seed))
    observed, *others = _distances(np.vstack([labels, shuffled]), curves)
    # Equal labellings may differ in the last bit of a sum.
    p = (1 + int(np.sum(np.asarray(others) >= observed - 1e-12))) / (1 + permutations)
    return Comparison((len(first), len(second)), float(observed), p)


def _grid(values: Floats) -> Floats:
    distinct = np.unique(values)
    if distinct.size <= GRID:
        return distinct
    return np.unique(np.quantile(values, np.linspace(0, 1, GRID), method="nearest"))


def _shuffled(labels: Floats, blocks: NDArray[np.int_], times: int, rng: np.random.Generator) -> Floats:
    """Return `times` rows of labels, each shuffled within blocks: by sorting random keys that begin with the block."""
    home = np.argsort(blocks, kind="stable")
    keys = blocks[home] + rng.random((times, labels.size))
    rows = np.empty((times, labels.size))
    rows[:, home] = labels[home][np.argsort(keys, axis=1)]
    return rows


def _distances(labellings: Floats, curves: Floats) -> Floats:
    weights = labellings / labellings.sum(axis=1, keepdims=True)
    others = (1 - labellings) / (1 - labellings).sum(axis=1, keepdims=True)
    return np.asarray(np.abs((weights - others) @ curves).max(axis=1))

import numpy as np
import pytest
from scipy import stats

from shaper.report.flows import permutation_ks


def test_with_one_value_a_flow_the_test_is_the_classical_one():
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=40), rng.normal(0.6, size=30)
    ours = permutation_ks(list(first), list(second), permutations=4999)
    theirs = stats.ks_2samp(first, second, method="exact")
    assert ours.distance == pytest.approx(theirs.statistic)
    assert ours.p == pytest.approx(theirs.pvalue, abs=0.015)


def autocorrelated(rng, flows):
    """Flows whose 60 values hang together, as the rates of neighbouring windows do."""
    return [rng.normal() + 0.3 * rng.normal(size=60) for _ in range(flows)]


def test_equal_flows_are_called_different_no_more_often_than_said():
    rng = np.random.default_rng(9)
    ps = [permutation_ks(autocorrelated(rng, 8), autocorrelated(rng, 8), permutations=199).p for _ in range(400)]
    assert np.mean(np.array(ps) <= 0.05) <= 0.05 + 0.022  # two standard errors of 400 experiments


def test_counting_every_value_as_independent_would_cry_wolf():
    """Why the unit is the flow: the usual test on the pooled values finds a difference almost always."""
    rng = np.random.default_rng(9)
    ps = [
        stats.ks_2samp(np.concatenate(autocorrelated(rng, 8)), np.concatenate(autocorrelated(rng, 8))).pvalue
        for _ in range(100)
    ]
    assert np.mean(np.array(ps) <= 0.05) > 0.5


def test_a_difference_between_flows_is_found():
    rng = np.random.default_rng(4)
    slow = [flow - 3 for flow in autocorrelated(rng, 10)]
    assert permutation_ks(autocorrelated(rng, 10), slow).p < 0.001


def test_shuffling_within_blocks_sees_through_what_differs_between_blocks():
    rng = np.random.default_rng(6)
    level = np.arange(12.0)  # every block has a level of its own
    control, treatment = level + rng.normal(size=12) * 0.1, level + 4 + rng.normal(size=12) * 0.1
    free = permutation_ks(list(control), list(treatment))
    blocked = permutation_ks(list(control), list(treatment), strata=(range(12), range(12)))
    assert blocked.distance == free.distance
    assert blocked.p < 0.01 < free.p


def test_a_long_flow_weighs_no_more_than_a_short_one():
    short, long = [0.0], [1.0] * 1000
    assert permutation_ks([short, long], [short, long[:3]]).distance == 0


def test_no_flows_give_no_evidence():
    assert permutation_ks([], [1.0]).p == 1


def test_the_same_seed_gives_the_same_p():
    rng = np.random.default_rng(1)
    flows = list(rng.normal(size=20))
    assert permutation_ks(flows[:10], flows[10:], seed=5) == permutation_ks(flows[:10], flows[10:], seed=5)

import numpy as np
import pytest
from scipy import stats

from shaper.report.permutation import permutation_ks


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
    ps = [permutation_ks(autocorrelated(rng, 8), autocorrelated(rng, 8), permutations=99).p for _ in range(400)]
    assert np.mean(np.array(ps) <= 0.05) <= 0.05 + 0.025  # two standard errors of 300 experiments


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


def test_what_differs_only_between_blocks_is_no_evidence():
    """Most controls ran at noon and most treatments at night, and nights are slow: within each, all are alike."""
    rng = np.random.default_rng(6)
    hours = (["noon"] * 18 + ["night"] * 2, ["noon"] * 2 + ["night"] * 18)
    control, treatment = ([rng.normal() + (10 if hour == "noon" else 0) for hour in arm_hours] for arm_hours in hours)
    assert permutation_ks(control, treatment).p < 0.001
    assert permutation_ks(control, treatment, strata=hours).p > 0.05


def test_a_long_flow_weighs_no_more_than_a_short_one():
    short, long = [0.0], [1.0] * 1000
    assert permutation_ks([short, long], [short, long[:3]]).distance == 0


def test_no_flows_give_no_evidence():
    assert permutation_ks([], [1.0]).p == 1


def test_the_same_seed_gives_the_same_p():
    rng = np.random.default_rng(1)
    flows = list(rng.normal(size=20))
    assert permutation_ks(flows[:10], flows[10:], seed=5) == permutation_ks(flows[:10], flows[10:], seed=5)

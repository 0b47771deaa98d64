import numpy as np
import pytest
from scipy import stats

from shaper.report.family import family_p


def series(values):
    return dict(enumerate(values))


def test_one_comparison_alone_is_fishers_randomisation_test():
    values = np.random.default_rng(1).normal(0.5, 1, 11)
    scipys = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert family_p([series(values)]) == pytest.approx([scipys.pvalue])


def test_a_family_that_says_the_same_thing_twenty_times_costs_nothing():
    values = np.random.default_rng(1).normal(0.9, 1, 10)
    assert family_p([series(values)] * 20) == family_p([series(values)]) * 20


def test_eight_blocks_show_a_clear_difference_among_any_number_of_comparisons():
    rng = np.random.default_rng(2)
    family = [series(rng.normal(20, 1, 8)), *(series(rng.normal(size=8)) for _ in range(30))]
    assert family_p(family)[0] == pytest.approx(2 / 2**8)


@pytest.mark.parametrize("shared", [0.0, 1.0], ids=["independent", "dependent"])
def test_equal_arms_raise_any_alarm_no_more_than_once_in_twenty(shared):
    rng = np.random.default_rng(3)
    alarms = 0
    for _ in range(600):
        common = rng.normal(size=10) * shared
        alarms += min(family_p([series(common + rng.normal(size=10)) for _ in range(6)])) < 0.05
    assert alarms / 600 <= 0.05 + 0.018  # two standard errors


def test_one_real_difference_among_many_is_found():
    rng = np.random.default_rng(4)
    family = [series(rng.normal(size=16)) for _ in range(9)] + [series(rng.normal(2.0, 1, 16))]
    found = family_p(family)
    assert found[-1] < 0.05
    assert min(found[:-1]) >= found[-1]


def test_comparisons_may_have_different_blocks_and_none():
    rng = np.random.default_rng(5)
    found = family_p([series(rng.normal(5, 1, 9)), {f"other-{i}": 5.0 + i for i in range(9)}, {}])
    assert found[0] < 0.01
    assert found[1] < 0.01
    assert found[2] == 1


def test_many_blocks_are_sampled_and_p_is_never_nought():
    values = np.random.default_rng(6).normal(9, 1, 40)
    assert 0 < family_p([series(values)])[0] <= 2e-4


def test_nothing_compared_is_nothing_judged():
    assert family_p([]) == []

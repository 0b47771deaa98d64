import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from shaper.report.pairs import (
    critical_rank,
    hodges_lehmann,
    null_distribution,
    shift,
    signed_rank_p,
    signed_rank_sum,
)

# Hamilton depression scale factor of nine patients before and after a tranquillizer: Hollander, Wolfe and Chicken,
# Nonparametric Statistical Methods, example 3.1: T+ = 5, estimate -0.46, 96 % interval (-0.786, -0.010).
BEFORE = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
AFTER = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])

differences = st.lists(st.floats(-100, 100).map(lambda x: round(x, 3)), min_size=6, max_size=25).map(np.array)


def test_the_textbook_example_comes_out_as_printed():
    found = shift(AFTER - BEFORE, AFTER - BEFORE)
    assert signed_rank_sum(AFTER - BEFORE) == 5
    assert found.estimate[0] == pytest.approx(-0.46, abs=0.001)
    assert (found.lower, found.upper) == pytest.approx((-0.786, -0.010), abs=0.0005)
    assert found.p == pytest.approx(2 * 0.01953, abs=1e-4)
    assert 1 - 2 * null_distribution(9)[critical_rank(9) - 1] == pytest.approx(0.961, abs=0.0005)


@pytest.mark.parametrize("pairs", [6, 13, 40])
def test_the_null_distribution_is_scipys(pairs):
    sample = np.arange(1, pairs + 1) * np.where(np.arange(pairs) % 3 == 0, 1.0, -1.0)
    below = null_distribution(pairs)[int(signed_rank_sum(sample))]
    assert below == pytest.approx(stats.wilcoxon(sample, alternative="less", method="exact").pvalue)


def test_five_pairs_are_too_few_for_any_interval():
    _, lower, upper = hodges_lehmann(np.array([1.0, 1.1, 1.2, 1.3, 1.4]))
    assert (lower, upper) == (-np.inf, np.inf)


def test_the_normal_rank_takes_over_from_the_exact_one_without_a_step():
    exact, normal = critical_rank(200), critical_rank(201)
    assert 0 < normal - exact < 120


@given(differences)
def test_the_interval_holds_the_estimate_and_turns_with_the_sign(values):
    estimate, lower, upper = map(float, hodges_lehmann(values))
    assert lower <= estimate <= upper
    mirrored, mirrored_lower, mirrored_upper = map(float, hodges_lehmann(-values))
    assert (-mirrored, -mirrored_upper, -mirrored_lower) == pytest.approx((estimate, lower, upper))


@given(differences, st.integers(0, 2**25), st.floats(0, 50))
def test_whatever_a_timeout_hid_lies_within_what_is_reported(values, chosen, excess):
    """The law of censoring: with the true value put back, every figure is inside the bounds given without it."""
    hidden = np.array([chosen >> i & 1 == 1 for i in range(values.size)])
    low, high = values.copy(), values.copy()
    low[hidden] -= excess  # what is known: it took at least this much longer
    high[hidden] = np.inf
    bounded, known = shift(low, high), shift(values, values)
    assert bounded.estimate[0] - 1e-9 <= known.estimate[0] <= bounded.estimate[1] + 1e-9
    assert bounded.lower <= known.lower + 1e-9
    assert known.upper <= bounded.upper + 1e-9
    assert bounded.censored == (np.sum(hidden) if np.any(hidden) else 0)


def test_a_timeout_on_both_sides_says_nothing_and_is_still_counted():
    known = np.linspace(1, 2, 20)
    found = shift(np.append(known, -np.inf), np.append(known, np.inf))
    assert found.pairs == 21
    assert found.censored == 1
    assert np.isfinite([found.lower, *found.estimate, found.upper]).all()
    assert found.p > signed_rank_p(known)


def test_when_most_pairs_timed_out_only_a_lower_limit_remains():
    low = np.full(12, 3.0) + np.arange(12) / 100
    high = np.where(np.arange(12) < 9, np.inf, low)
    found = shift(low, high)
    assert found.upper == np.inf
    assert found.lower > 3
    assert found.p < 0.01


def test_all_equal_arms_give_no_evidence():
    found = shift(np.zeros(20), np.zeros(20))
    assert found.p == 1
    assert found.effect == (0, 0)


@pytest.mark.parametrize("draw", ["normal", "laplace", "uniform"])
def test_intervals_cover_as_often_as_they_say_over_2000_experiments(draw):
    values = getattr(np.random.default_rng(7), draw)(size=(2000, 25)) + 0.3
    truth = 0.8 if draw == "uniform" else 0.3
    _, lower, upper = hodges_lehmann(values)
    assert 0.93 <= np.mean((lower <= truth) & (truth <= upper)) <= 0.97


def test_intervals_with_timeouts_still_cover_over_2000_experiments():
    rng = np.random.default_rng(11)
    control, treatment = rng.lognormal(1.0, 0.3, (2000, 20)), rng.lognormal(1.2, 0.3, (2000, 20))
    limit = 4.5  # seconds: about one treatment in seven is still under way
    late = treatment > limit
    assert 0.1 < late.mean() < 0.2
    low = np.log(np.where(late, limit, treatment) / control)
    high = np.where(late, np.inf, low)
    covered = (hodges_lehmann(low)[1] <= 0.2) & (hodges_lehmann(high)[2] >= 0.2)
    assert covered.mean() >= 0.93


def test_equal_arms_are_called_different_no_more_than_once_in_twenty():
    rng = np.random.default_rng(5)
    alarms = [signed_rank_p(rng.normal(size=20)) < 0.05 for _ in range(2000)]
    assert np.mean(alarms) <= 0.05 + 0.01  # 2,000 experiments know 0.05 to within 0.01

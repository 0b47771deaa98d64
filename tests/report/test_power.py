import numpy as np
import pytest
from scipy import stats

from shaper.report.pairs import hodges_lehmann
from shaper.report.power import pairs_needed, power, smallest_effect

SLOWDOWN = np.log(1.2)


def normal_spread(deviation):
    """Return a population of differences around nothing with this standard deviation."""
    return stats.norm.ppf((np.arange(999) + 0.5) / 999) * deviation


def test_a_slowdown_of_a_fifth_is_found_with_the_planned_power():
    """Plan for power 0.8, then run 2,000 experiments with other dice."""
    pairs = pairs_needed(normal_spread(0.3), SLOWDOWN, wanted=0.8)
    experiments = np.random.default_rng(23).normal(SLOWDOWN, 0.3, (2000, pairs))
    found = hodges_lehmann(experiments)[1] > 0
    assert found.mean() == pytest.approx(0.8, abs=0.05)


def test_the_number_of_pairs_is_near_the_textbooks():
    """The t-test needs (1.96 + 0.84)² / d² pairs; the signed-rank test π/3 as many for normal differences."""
    expected = (1.96 + 0.8416) ** 2 / 0.5**2 * np.pi / 3
    assert pairs_needed(normal_spread(1.0), 0.5) == pytest.approx(expected, rel=0.12)


def test_without_an_effect_power_is_the_false_alarm_rate():
    assert power(normal_spread(1.0), 0.0, 30) == pytest.approx(0.05, abs=0.015)


def test_the_smallest_effect_is_the_one_that_so_many_pairs_were_planned_for():
    pairs = pairs_needed(normal_spread(0.3), SLOWDOWN)
    assert smallest_effect(normal_spread(0.3), pairs) == pytest.approx(SLOWDOWN, rel=0.08)


def test_too_few_pairs_or_too_small_an_effect_is_said_and_not_guessed():
    assert power(normal_spread(1.0), 5.0, 5) == 0
    assert smallest_effect(normal_spread(1.0), 5) is None
    assert pairs_needed(normal_spread(1.0), 0.01) is None

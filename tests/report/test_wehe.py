import numpy as np

from shaper.report.wehe import WeheVerdict, wehe


def rates(mean, spread=0.05, count=100, seed=1):
    return np.random.default_rng(seed).normal(mean, spread * mean, count)


def test_half_the_rate_is_differentiation():
    found = wehe(rates(4e6), rates(1.9e6, seed=2))
    assert found.verdict is WeheVerdict.DIFFERENT
    assert -0.56 < found.area < -0.49


def test_two_thirds_of_the_rate_is_inconclusive_when_slow_and_differentiation_when_fast():
    assert wehe(rates(4e6), rates(2.6e6, seed=2)).verdict is WeheVerdict.INCONCLUSIVE
    assert wehe(rates(40e6), rates(26e6, seed=2)).verdict is WeheVerdict.DIFFERENT


def test_few_buckets_are_inconclusive_whatever_the_area():
    assert wehe(rates(4e6, count=3), rates(1e6, count=3)).verdict is WeheVerdict.INCONCLUSIVE


def test_silent_buckets_count():
    """A stalled flow is as fast as the control in the buckets where anything arrives; only the silence tells."""
    stalled = np.where(np.arange(100) % 10 == 0, 4e6, 0.0)
    assert wehe(rates(4e6), stalled).verdict is WeheVerdict.DIFFERENT
    assert wehe(rates(4e6), stalled[stalled > 0]).verdict is WeheVerdict.INCONCLUSIVE


def test_nothing_measured_is_inconclusive():
    assert wehe(np.zeros(0), rates(1e6)).verdict is WeheVerdict.INCONCLUSIVE
    assert wehe(np.zeros(9), np.zeros(9)).verdict is WeheVerdict.INCONCLUSIVE

import numpy as np
import pytest

from shaper.report.rate import change_point, converged_rate, window_rates


def steady(rate, seconds, step=0.02, start=0.0):
    """Reads of a perfect pacer: `rate` bit/s in pieces every `step` seconds."""
    size = round(rate / 8 * step)
    return [(start + step * (i + 1), size) for i in range(int(seconds / step))]


def test_a_steady_transfer_converges_to_its_rate_from_the_start():
    found = converged_rate(steady(150_000, 10))
    assert found.rate == pytest.approx(150_000, rel=0.01)
    assert found.steady
    assert found.since == 0


def test_a_burst_before_the_cap_does_not_count_and_its_end_is_the_change_point():
    burst = steady(8_000_000, 2)
    capped = steady(150_000, 10, start=2.0)
    found = converged_rate(burst + capped)
    assert found.rate == pytest.approx(150_000, rel=0.02)
    assert found.since == pytest.approx(2.0, abs=1.0)
    assert found.steady


def test_a_rate_that_changes_late_is_not_called_steady():
    found = converged_rate(steady(1_000_000, 8) + steady(150_000, 4, start=8.0))
    assert not found.steady


def test_teeth_of_a_second_do_not_hide_the_rate():
    teeth = [(k + 0.01 * i, 1875) for k in range(8) for i in range(10)]
    assert converged_rate(teeth).rate == pytest.approx(150_000, rel=0.01)


def test_silence_up_to_the_timeout_counts():
    reads = steady(150_000, 3)
    assert converged_rate(reads, end=30.0).rate == 0
    assert window_rates(reads, 1.0, end=30.0).size == 29


def test_windows_keep_every_byte_of_whole_windows_and_the_empty_ones():
    rates = window_rates([(1.0, 100), (1.5, 100), (3.2, 100), (5.0, 7)], 1.0)
    assert list(rates) == [1600, 0, 800, 56]


@pytest.mark.parametrize("reads", [[], [(0.1, 5)], [(0.1, 5), (0.1, 5)]])
def test_too_little_to_tell_is_none(reads):
    assert converged_rate(reads) is None


def test_a_step_is_found_where_it_is_and_noise_is_not_a_step():
    rng = np.random.default_rng(2)
    assert change_point(np.r_[rng.normal(10, 1, 20), rng.normal(20, 1, 30)]) == 20
    false = [change_point(rng.normal(10, 1, 40)) is not None for _ in range(300)]
    assert np.mean(false) < 0.1


def test_rounding_to_whole_reads_is_not_a_change():
    levels = np.array([4.0, 4, 4, 4, 5, 5, 5, 5])
    assert change_point(levels) == 4
    assert change_point(levels, grain=2.0) is None

"""The promise of the histogram bounds: a quantile read from them is within 10 % of the exact one."""

from bisect import bisect_left
from itertools import accumulate, pairwise
from math import ceil

from hypothesis import example, given
from hypothesis import strategies as st

from shaper.record.buckets import ERROR, FINEST, LAG, LONGEST, RATIO, SECONDS


def histogram_quantile(q, bounds, values):
    """What Prometheus computes: the bucket in which the rank falls, and a straight line within it."""
    counts = [0] * (len(bounds) + 1)
    for value in values:
        counts[bisect_left(bounds, value)] += 1
    upto = list(accumulate(counts))
    rank = q * len(values)
    bucket = next(n for n, count in enumerate(upto) if count >= rank)
    low = bounds[bucket - 1] if bucket else 0.0
    before = upto[bucket - 1] if bucket else 0
    return low + (bounds[bucket] - low) * (rank - before) / counts[bucket]


def exact_quantile(q, values):
    """The smallest value that at least a share of q does not exceed."""
    return sorted(values)[ceil(q * len(values)) - 1]


def test_the_promise_spans_html_of_5_ms_and_photos_of_60_s():
    assert FINEST < 0.005
    assert LONGEST > 60
    assert ERROR < 0.1


def test_bounds_rise_and_none_is_written_twice():
    for bounds in (SECONDS, RATIO, LAG):
        assert all(low < high for low, high in pairwise(bounds))


times = st.floats(min_value=0.004, max_value=LONGEST)


@given(st.lists(times, min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99]))
@example([5.3333] * 100, 0.99)
@example([0.004366] * 3, 0.99)
def test_any_quantile_of_any_distribution_is_within_ten_per_cent(values, q):
    exact = exact_quantile(q, values)
    assert abs(histogram_quantile(q, SECONDS, values) / exact - 1) <= ERROR < 0.1


def test_a_tolerance_of_two_per_cent_can_be_read_off_exactly():
    assert {0.95, 0.98, 0.99, 1.0, 1.01, 1.02, 1.05} <= set(RATIO)

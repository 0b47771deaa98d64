"""The bucket's law, with literal times and as a property."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shaper.pacing.token_bucket import TokenBucket

sizes = st.integers(1, 5000)
steps = st.floats(0, 3, allow_nan=False)
rates = st.floats(1, 1e7)
bursts = st.floats(0, 1e5)


def test_the_burst_is_due_at_once_and_the_rest_at_the_rate():
    bucket = TokenBucket(rate=100, burst=50)
    assert bucket.reserve(50, at=10.0) == 10.0
    assert bucket.reserve(100, at=10.0) == pytest.approx(11.0)
    assert bucket.reserve(1, at=10.0) == pytest.approx(11.01)


def test_idling_earns_one_burst_and_no_more():
    bucket = TokenBucket(rate=100, burst=50)
    bucket.reserve(50, at=0.0)
    assert bucket.reserve(50, at=1000.0) == 1000.0
    assert bucket.reserve(1, at=1000.0) == pytest.approx(1000.01)


def test_a_piece_larger_than_the_burst_waits_until_it_is_paid_for():
    assert TokenBucket(rate=100, burst=0).reserve(200, at=5.0) == pytest.approx(7.0)


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (float("nan"), 1), (1, -1)])
def test_a_senseless_bucket_is_refused(rate, burst):
    with pytest.raises(ValueError, match="token bucket"):
        TokenBucket(rate, burst)


@given(rates, bursts, st.lists(st.tuples(sizes, steps), min_size=1, max_size=60))
def test_at_most_the_burst_plus_rate_times_t_is_due_in_any_t(rate, burst, wishes):
    bucket, at, due = TokenBucket(rate, burst), 0.0, []
    for size, step in wishes:
        at += step
        due.append((bucket.reserve(size, at), size))
        assert due[-1][0] >= at
    allowed = max(burst, *(size for _, size in due))
    for i, (start, _) in enumerate(due):
        total = 0
        for end, size in due[i:]:
            total += size
            assert total <= allowed + rate * (end - start) + 1e-3 + 1e-9 * rate


@given(rates, bursts, st.lists(sizes, min_size=1, max_size=60))
def test_a_busy_bucket_wastes_nothing(rate, burst, wishes):
    bucket = TokenBucket(rate, burst)
    last = max(bucket.reserve(size, at=0.0) for size in wishes)
    assert last == pytest.approx(max(0.0, (sum(wishes) - burst) / rate), rel=1e-9, abs=1e-9)


@given(rates, bursts, sizes, st.floats(0, 1e5))
def test_a_full_bucket_can_be_forgotten(rate, burst, size, later):
    bucket = TokenBucket(rate, burst)
    bucket.reserve(size, at=0.0)
    if bucket.is_full(later):
        assert bucket.reserve(size, later) == TokenBucket(rate, burst).reserve(size, later)


def test_a_bucket_is_full_once_what_was_taken_has_refilled():
    bucket = TokenBucket(rate=100, burst=100)
    assert bucket.is_full(0.0)
    bucket.reserve(50, at=0.0)
    assert [bucket.is_full(now) for now in (0.0, 0.49, 0.5, 0.51)] == [False, False, True, True]

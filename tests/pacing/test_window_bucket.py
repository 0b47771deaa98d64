"""The window's law: an allowance at once, then silence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shaper.pacing.window_bucket import WindowBucket


def test_the_allowance_is_due_at_once_and_the_next_a_window_later():
    bucket = WindowBucket(rate=16_000, window=1.0)
    assert [bucket.reserve(4000, at=5.0) for _ in range(9)] == [5.0] * 4 + [6.0] * 4 + [7.0]


def test_after_idling_a_window_begins_with_the_first_byte():
    bucket = WindowBucket(rate=1000, window=1.0)
    bucket.reserve(1000, at=0.0)
    assert bucket.reserve(1000, at=7.3) == 7.3
    assert bucket.reserve(1, at=7.4) == pytest.approx(8.3)


def test_a_piece_wider_than_the_window_takes_several():
    assert WindowBucket(rate=1000, window=1.0).reserve(2500, at=0.0) == 2.0


@pytest.mark.parametrize(("rate", "window"), [(0, 1), (1, 0), (float("nan"), 1)])
def test_a_senseless_window_is_refused(rate, window):
    with pytest.raises(ValueError, match="window bucket"):
        WindowBucket(rate, window)


@given(
    st.integers(100, 10**6),
    st.floats(0.05, 5),
    st.lists(st.tuples(st.integers(1, 3000), st.floats(0, 2)), min_size=1, max_size=80),
)
def test_no_window_grants_more_than_its_allowance(rate, window, wishes):
    bucket, at, due = WindowBucket(rate, window), 0.0, []
    for size, step in wishes:
        at += step
        instant = bucket.reserve(size, at)
        assert instant >= at
        due.append((instant, size))
    # Any stretch shorter than a window touches at most two of them; a piece may straddle their border.
    for start, _ in due:
        inside = sum(size for instant, size in due if start <= instant < start + window * 0.999)
        assert inside <= 2 * rate * window + 3000
    span = due[-1][0] - due[0][0]
    assert sum(size for _, size in due) <= rate * window * (span / window + 1) + 3000 + rate * window


def test_a_window_that_is_just_over_leaves_nothing_to_the_next():
    bucket = WindowBucket(rate=100, window=1.0)
    assert [bucket.reserve(50, at=0.0), bucket.reserve(100, at=1.0), bucket.reserve(50, at=1.0)] == [0.0, 1.0, 2.0]


def test_windows_are_as_long_as_they_say():
    bucket = WindowBucket(rate=0.5, window=4.0)
    assert [bucket.reserve(2, at=0.0) for _ in range(3)] == [0.0, 4.0, 8.0]


def test_a_window_is_full_once_it_is_over():
    bucket = WindowBucket(rate=100, window=2.0)
    assert bucket.is_full(0.0)
    bucket.reserve(1, at=0.0)
    assert [bucket.is_full(now) for now in (0.0, 1.9, 2.0)] == [False, False, True]

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shaper.measure.line import distance, excess, longest_gap, rate, size, span, variation, windows
from shaper.pacing.token_bucket import TokenBucket

# 2 kB at once, then 1 kB each 100 ms: a bucket of 80 kbit/s with a burst of 2 kB
STEADY = [(5.0, 2000), *((5.0 + i / 10, 1000) for i in range(1, 21))]
# 10 kB at the start of each second
TEETH = [(float(second), 10_000) for second in range(6)]

lines = st.lists(st.tuples(st.floats(0, 10), st.integers(1, 10_000)), min_size=1).map(
    lambda steps: list(zip(accumulate(gap for gap, _ in steps), (count for _, count in steps), strict=True))
)


def test_sizes_and_spans_are_those_of_the_reads():
    assert (size(STEADY), span(STEADY)) == (22_000, pytest.approx(2.0))


def test_the_rate_leaves_the_burst_out():
    assert rate(STEADY, burst=2000) == pytest.approx(80_000)
    assert rate(STEADY) == pytest.approx(88_000)


@pytest.mark.parametrize("line", [[], [(1.0, 500)], [(1.0, 500), (1.0, 500)]])
def test_too_few_reads_have_no_rate(line):
    assert rate(line) is None


def test_a_transfer_that_is_all_burst_has_no_rate():
    assert rate(STEADY, burst=22_000) is None


def test_the_distance_counts_the_burst_and_the_lag():
    assert distance(STEADY, 80_000) == pytest.approx(2000)
    assert distance(STEADY, 0) == 22_000
    assert distance([(0.0, 100), (1.0, 900)], 8000) == pytest.approx(900)  # 900 behind just before the second read


def test_the_longest_gap_is_that_between_two_reads():
    assert longest_gap(STEADY) == pytest.approx(0.1)
    assert longest_gap(TEETH) == 1.0
    assert longest_gap([(1.0, 5)]) is None


def test_windows_count_silence_as_zero():
    assert windows(TEETH, width=0.5) == [160_000, 0] * 5
    assert windows(TEETH, width=0.5, skip=4.0) == [160_000, 0]
    assert windows([], 0.1) == []


def test_variation_is_nought_for_a_steady_line_and_one_for_teeth_of_half_the_time():
    assert variation(STEADY, width=0.2, skip=0.95) == pytest.approx(0)
    assert variation(TEETH, width=0.5) == pytest.approx(1)
    assert variation(TEETH, skip=10.0) is None


def test_excess_is_the_burst_that_a_bucket_would_need():
    assert excess(STEADY, 80_000) == pytest.approx(2000)
    assert excess(TEETH, 80_000) == pytest.approx(10_000)
    assert excess(TEETH, 1e12) == pytest.approx(10_000)


@given(
    pieces=st.lists(st.tuples(st.floats(0, 3), st.integers(1, 3000)), min_size=1, max_size=50),
    speed=st.floats(100, 1e6),
    burst=st.floats(0, 5000),
)
def test_what_a_token_bucket_lets_pass_never_exceeds_its_burst(pieces, speed, burst):
    bucket, now, line = TokenBucket(speed, burst), 0.0, []
    for wait, count in pieces:
        now = max(now + wait, bucket.reserve(count, now + wait))
        line.append((now, count))
    assert excess(line, speed * 8) <= max(burst, *(count for _, count in line)) + 1e-6 * speed


@given(line=lines, ideal=st.floats(0, 1e6))
def test_no_distance_is_less_than_the_first_read_or_half_the_excess(line, ideal):
    assert distance(line, ideal) >= line[0][1] - 1e-6
    assert 2 * distance(line, ideal) >= excess(line, ideal) - 1e-6


@given(lines)
def test_windows_hold_no_more_than_the_line(line):
    assert sum(windows(line, 0.5)) * 0.5 / 8 <= size(line) + 1e-6

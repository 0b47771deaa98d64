"""The marks hold and let go, each once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shaper.pacing.watermark import Watermark, marks


def test_crossing_high_holds_and_crossing_low_lets_go():
    mark = Watermark(high=100, low=50)
    assert [(mark.cross(b), mark.over) for b in (100, 101, 60, 51, 50, 100)] == [
        (False, False), (True, True), (False, True), (False, True), (True, False), (False, False),
    ]  # fmt: skip


def test_marks_follow_the_rate_within_bounds():
    assert (marks(18_750).high, marks(200_000).high, marks(6_250_000).high, marks(None).high) == (
        16_384, 100_000, 262_144, 262_144,
    )  # fmt: skip


def test_marks_need_a_gap():
    with pytest.raises(ValueError, match="watermarks"):
        Watermark(high=5, low=5)


@given(st.lists(st.integers(0, 300)))
def test_over_means_above_low_since_last_above_high(backlogs):
    mark = Watermark(high=200, low=100)
    for backlog in backlogs:
        mark.cross(backlog)
        assert mark.over or backlog <= 200
        assert not mark.over or backlog > 100


def test_marks_may_let_go_only_at_nothing_and_the_low_one_is_half():
    assert Watermark(high=1, low=0).cross(2)
    assert repr((marks(200_000).low, marks(None).low)) == "(50000, 131072)"

import pytest

from bench.accuracy import ratio
from bench.collateral import percentile
from bench.scoreboard import Scoreboard, show
from shaper.measure.fetched import Fetched, Read
from shaper.measure.run import Outcome


@pytest.mark.parametrize(
    ("value", "low", "high", "met"),
    [
        (1.0, 0.99, 1.01, True),
        (0.98, 0.99, 1.01, False),
        (5, None, 5, True),
        (5.1, None, 5, False),
        (None, 0, 1, False),
    ],
)
def test_a_goal_is_met_within_its_bounds_and_never_without_a_figure(value, low, high, met, capsys):
    board = Scoreboard()
    board.add("shaper", "figure", value, "", low, high)
    assert (board.missed() == []) is met
    assert ("MISSED" in capsys.readouterr().out) is not met


def test_a_figure_without_a_goal_is_never_missed():
    board = Scoreboard()
    board.add("peer", "figure", None)
    assert board.missed() == []


def body(status=200, **found):
    return Fetched(url="", outcome=Outcome.COMPLETE, status=status, answered=0.5, **found)


def test_the_ratio_leaves_out_the_burst_and_the_wait_for_headers_and_what_follows_the_last_byte():
    fetched = body(duration=1.6, size=127_048, reads=(Read(0.4, 0.6, 2048), Read(1.4, 1.5, 125_000)))
    assert ratio(fetched, 1_000_000, 2048) == pytest.approx(1.0)


def test_a_refused_body_has_no_ratio():
    assert ratio(body(502, duration=1.5, size=200, reads=(Read(1.4, 1.5, 200),)), 1_000_000, 0) is None


def test_an_empty_body_has_no_ratio():
    assert ratio(body(duration=0.5, size=0), 1_000_000, 0) is None


def test_a_body_that_came_with_its_headers_has_no_end_of_a_rate():
    fetched = body(duration=0.5, size=100_000, reads=(Read(0.4, 0.5, 100_000),))
    assert ratio(fetched, 1_000_000, 0) == float("inf")


def test_percentiles_are_values_that_were_seen():
    assert [percentile([3, 1, 2], share) for share in (0.0, 0.5, 0.99)] == [1, 2, 3]


def test_large_numbers_are_whole():
    assert [show(value) for value in (12345.6, 0.123456, None)] == ["12,346", "0.1235", "-"]

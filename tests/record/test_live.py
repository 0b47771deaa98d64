"""What a transfer's account says at its end: whose time it was, what rate was reached, and what was wrong."""

from datetime import UTC, datetime

import pytest

from shaper.policy.judge import Judge
from shaper.policy.load import loads
from shaper.policy.verdict import Facts, Person, Reason
from shaper.record.live import LiveTransfer
from shaper.record.transfer import Outcome, Wait

POLICY = """
version: 1
study: account
targets: {media: {hosts: [photos.test]}}
rules:
  - {name: slow, target: media, media: [image], caps: [CAPS]}
"""
SMOOTH = "{rate: 8 kbit/s, burst: 100 B}"  # 1000 bytes a second
WALL = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def begin():
    """Begin a transfer at instant 100 and judge it at 101."""

    def begin(caps=SMOOTH, content_type="image/png"):
        policy = loads(POLICY.replace("CAPS", caps), "policy.yaml")
        live = LiveTransfer(policy, 100.0, WALL)
        facts = Facts(host="photos.test", content_type=(content_type,))
        live.judged(Judge(policy).decide(facts, Person(), WALL), 101.0)
        return live

    return begin


def pace(live, *, size, seconds, pieces=10):
    """Give `size` bytes in pieces, each after its part of the seconds; return when the last one leaves."""
    now = 101.0
    for _ in range(pieces):
        now += seconds / pieces
        live.gave(size // pieces, now, seconds / pieces)
    return now


def test_the_rate_is_that_of_the_bytes_after_the_first_wait(begin):
    live = begin()
    live.gave(100, 101.0, 0.0)  # the burst
    end = pace(live, size=1000, seconds=1)
    record = live.finish(Outcome.COMPLETE, end)
    assert record.size == 1100
    assert record.achieved == pytest.approx(8000)
    assert record.rate_ratio == pytest.approx(1)
    assert record.client_ttfb == 1


def test_what_a_pause_of_the_origin_earned_is_no_part_of_the_rate(begin):
    live = begin()
    pace(live, size=1000, seconds=1)
    live.gave(100, 160.0, 0.0)  # after a minute of silence
    for step in range(1, 11):
        live.gave(100, 160.0 + step / 10, 0.1)
    assert live.finish(Outcome.COMPLETE, 161.0).rate_ratio == pytest.approx(1)


def test_a_transfer_that_was_hardly_paced_has_no_rate(begin):
    live = begin()
    live.gave(100, 101.0, 0.0)
    record = live.finish(Outcome.COMPLETE, 101.0)
    assert (record.achieved, record.rate_ratio, record.flags) == (None, None, ())


@pytest.mark.parametrize(
    ("size", "seconds", "flags"),
    [(1000, 1.0, ()), (1030, 1.0, ("out-of-tolerance",)), (970, 1.0, ("out-of-tolerance",)), (400, 0.3, ())],
)
def test_a_rate_off_its_cap_is_flagged_once_it_tells_something(begin, size, seconds, flags):
    live = begin()
    end = pace(live, size=size, seconds=seconds)
    assert live.finish(Outcome.COMPLETE, end, tolerance=0.02).flags == flags


def test_nothing_is_flagged_without_a_tolerance(begin):
    live = begin()
    assert live.finish(Outcome.COMPLETE, pace(live, size=2000, seconds=1)).flags == ()


def test_the_tightest_cap_stands_in_the_record(begin):
    record = begin(f"{SMOOTH}, {{scope: client, rate: 4 kbit/s, burst: 1 KiB}}").finish(Outcome.COMPLETE, 102.0)
    assert (record.scope, record.rate, record.burst, record.manner) == ("client", 4000, 1024, "smooth")


def test_a_window_has_no_burst_but_its_own(begin):
    record = begin("{rate: 8 kbit/s, manner: window, window: 1 s}").finish(Outcome.COMPLETE, 102.0)
    assert (record.manner, record.rate, record.burst) == ("window", 8000, None)


def test_what_is_not_slowed_names_no_cap(begin):
    record = begin(content_type="text/html").finish(Outcome.COMPLETE, 102.0)
    assert (record.reason, record.rule, record.manner, record.scope) == (Reason.NO_RULE, "", "", "")
    assert (record.rate, record.burst, record.rate_ratio) == (None, None, None)


def test_times_are_counted_from_the_request_and_are_absent_when_they_never_came(begin):
    live = begin()
    live.took(500, 101.5)
    live.ledger.enter(Wait.SHAPER, 102.0)
    record = live.finish(Outcome.CLIENT_ABORT, 105.0)
    assert (record.origin_ttfb, record.origin_duration, record.client_ttfb) == (1, 1.5, None)
    assert (record.waiting, record.receiving, record.held, record.stalled) == (1, 1, 3, 0)
    assert (record.size, record.received, record.duration) == (0, 500, 5)


def test_a_transfer_that_ends_before_it_is_judged_waited_for_its_origin(begin):
    record = LiveTransfer(begin().policy, 100.0, WALL).finish(Outcome.CLIENT_ABORT, 103.0)
    assert (record.waiting, record.duration, record.origin_ttfb) == (3, 3, None)


def test_a_shadow_that_would_never_end_is_flagged_and_costs_no_time(begin):
    live = begin()
    live.estimate |= {"slower": 4.5, "freezing": None}
    record = live.finish(Outcome.COMPLETE, 102.0)
    assert (record.estimate, record.flags) == ({"slower": 4.5}, ("would-freeze:freezing",))

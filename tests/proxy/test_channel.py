"""A channel's law: whatever comes, whenever, and whoever stalls, the bytes that leave are the bytes that came."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shaper.pacing.limit import Limit, Manner, Scope
from shaper.pacing.pacer import Pacer
from shaper.pacing.watermark import Watermark
from shaper.proxy.channel import Channel, Levels
from shaper.record.live import LiveTransfer
from shaper.record.metrics import Metrics
from shaper.record.transfer import Outcome
from tests.proxy.conftest import policy
from tests.proxy.playbook import turn_clock

METRICS = Metrics()


class Peer:
    """Both ends of a channel: takes bytes unless it is `full`, and counts what it is told as its gate."""

    def __init__(self, ticker, rate=1000.0, burst=100.0, manner=Manner.SMOOTH, **pacing):
        self.ticker, self.levels = ticker, Levels()
        self.got, self.full, self.held, self.drained = b"", False, 0, 0
        self.live = LiveTransfer(policy(), ticker.now, datetime.now(UTC))
        self.channel = Channel(
            live=self.live,
            pacer=Pacer([Limit(Scope.RESPONSE, rate, burst, manner).make_bucket()] if rate else [], **pacing),
            mark=Watermark(3000, 1500),
            gate=self,
            send=self.take,
            is_full=lambda: self.full,
            on_drained=self.drain,
            ticker=ticker,
            levels=self.levels,
            metrics=METRICS,
        )

    def take(self, data):
        self.got += data

    def drain(self):
        self.drained += 1

    def hold(self):
        self.held += 1

    def let_go(self):
        self.held -= 1


@pytest.fixture
def peer(monkeypatch):
    ticker = turn_clock(monkeypatch)
    return lambda **pacing: Peer(ticker, **pacing)


steps = st.lists(
    st.one_of(
        st.binary(max_size=4000).map(lambda data: ("push", data)),
        st.floats(0, 3).map(lambda seconds: ("wait", seconds)),
        st.booleans().map(lambda full: ("full", full)),
    ),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(steps=steps, rate=st.sampled_from([None, 10.0, 1000.0, 1e6]), burst=st.sampled_from([0.0, 1.0, 2048.0]))
@example(steps=[("full", True), ("push", b"ab"), ("wait", 1.0), ("full", False)], rate=1000.0, burst=0.0)
def test_bytes_leave_as_they_came_and_the_books_balance(steps, rate, burst):
    with pytest.MonkeyPatch.context() as patch:
        peer, came = Peer(turn_clock(patch), rate=rate, burst=burst), b""
        for kind, value in steps:
            if kind == "push":
                came += value
                peer.channel.push(value)
            elif kind == "wait":
                peer.ticker.pass_time(value)
            else:
                peer.full = value
            assert came.startswith(peer.got)
            assert peer.levels.backlog == len(came) - len(peer.got)
            assert peer.held in (0, 1)
            assert peer.held or peer.levels.backlog <= 3000
        peer.full = False
        was_empty = peer.channel.end()
        peer.ticker.pass_time(20_000)
        assert peer.got == came
        assert peer.drained == (0 if was_empty else 1)
        peer.channel.close()
        assert (peer.levels.backlog, peer.levels.gated, peer.held, peer.ticker.armed) == (0, 0, 0, 0)
        assert peer.ticker.demanded == pytest.approx(0)
        record = peer.live.finish(Outcome.COMPLETE, peer.ticker.now)
        assert (record.size, record.received) == (len(came), len(came))
        assert sum(seconds for _, seconds in record.waits()) == pytest.approx(record.duration)


@settings(max_examples=100, deadline=None)
@given(steps=steps)
def test_a_channel_that_is_closed_gives_nothing_more_and_owes_nothing(steps):
    with pytest.MonkeyPatch.context() as patch:
        peer, came = Peer(turn_clock(patch)), b""
        for kind, value in steps:
            if kind == "push":
                came += value
                peer.channel.push(value)
            elif kind == "wait":
                peer.ticker.pass_time(value)
            else:
                peer.full = value
        peer.channel.close()
        got, peer.full = peer.got, False
        peer.ticker.pass_time(1000)
        assert peer.got == got
        assert came.startswith(got)
        assert (peer.levels.backlog, peer.levels.gated, peer.held, peer.ticker.armed) == (0, 0, 0, 0)
        assert (peer.ticker.demanded, peer.drained) == (pytest.approx(0), 0)


@settings(max_examples=100, deadline=None)
@given(steps=steps)
def test_no_stretch_of_time_carries_more_than_the_bucket_allows(steps):
    with pytest.MonkeyPatch.context() as patch:
        ticker = turn_clock(patch)
        peer = Peer(ticker, rate=1000.0, burst=100.0)
        line = []
        peer.channel._send = lambda data: line.append((ticker.now, len(data)))
        for kind, value in steps:
            peer.channel.push(value) if kind == "push" else ticker.pass_time(value if kind == "wait" else 0)
        ticker.pass_time(500)
        for first in range(len(line)):
            carried = 0
            for at, size in line[first:]:
                carried += size
                assert carried <= 100 + 1000 * (at - line[first][0]) + 20 + 1e-6  # a piece is 20 ms of rate


def test_what_is_due_when_more_comes_leaves_then_and_once(peer):
    """An event loop that reads frame after frame lets no alarm go off meanwhile."""
    one = peer(rate=1000.0, burst=0.0)
    one.channel.push(bytes(30))
    one.ticker.now += 0.025  # the first piece of 20 bytes is due, and nobody was called
    one.channel.push(bytes(10))
    assert one.got == bytes(20)
    assert one.ticker.armed == 1
    one.ticker.pass_time(0.0)
    assert one.got == bytes(20)
    one.ticker.pass_time(1.0)
    assert one.got == bytes(40)


def test_a_pacer_that_fails_gives_out_what_it_holds(peer, monkeypatch):
    one = peer()
    one.channel.push(bytes(500))
    monkeypatch.setattr("shaper.pacing.token_bucket.TokenBucket.reserve", lambda *_: 1 / 0)
    one.ticker.pass_time(0.5)
    assert one.got == bytes(500)
    one.channel.push(b"more")
    assert one.got == bytes(500) + b"more"


def test_bytes_that_cannot_be_sent_are_not_skipped(peer):
    """Better a transfer that stands still than one that is complete and wrong."""
    one, sent = peer(), []

    def break_down(data):
        raise RuntimeError("no")

    one.channel._send = break_down
    with pytest.raises(RuntimeError):
        one.channel.push(bytes(500))
    one.channel._send = sent.append
    one.ticker.pass_time(1)
    assert sent == []


def test_a_client_that_takes_nothing_is_looked_at_again(peer):
    one = peer()
    one.full = True
    one.channel.push(bytes(10))
    one.ticker.pass_time(1)
    assert one.got == b""
    one.full = False
    one.ticker.pass_time(0.1)
    assert one.got == bytes(10)
    record = one.live.finish(Outcome.COMPLETE, one.ticker.now)
    assert record.stalled == pytest.approx(1, abs=0.1)


def test_a_client_that_takes_nothing_for_long_costs_little(peer):
    one, looks = peer(), []
    one.channel._is_full = lambda: looks.append(one.ticker.now) or True
    one.channel.push(bytes(10))
    one.ticker.pass_time(600)
    assert len(looks) < 1300
    assert all(later - sooner <= 0.5 + 1e-6 for sooner, later in pairwise(looks))
    assert one.ticker.demanded == pytest.approx(2)


def test_an_origin_that_has_sent_all_it_has_is_not_held_back(peer):
    one = peer()
    one.channel.push(bytes(4000))
    one.ticker.pass_time(0.25)
    assert (one.held, one.levels.gated) == (1, 1)
    assert not one.channel.end()
    assert (one.held, one.levels.gated) == (0, 0)
    one.ticker.pass_time(5)
    assert (one.drained, one.held) == (1, 0)
    record = one.live.finish(Outcome.COMPLETE, one.ticker.now)
    assert record.gated == 0.25


def test_what_passes_at_once_was_never_held(peer):
    one = peer()
    one.channel.push(bytes(80))
    assert one.live.backlog_peak == 0
    one.channel.push(bytes(1000))
    assert one.live.backlog_peak == 980
    one.ticker.pass_time(0.5)
    assert one.live.backlog_peak == 980


@pytest.mark.parametrize("manner", [Manner.SMOOTH, Manner.WINDOW])
def test_the_rate_is_the_caps_however_much_of_the_last_allowance_is_used(peer, manner):
    one = peer(manner=manner)
    one.channel.push(bytes(3100))
    one.ticker.pass_time(10)
    assert one.live.finish(Outcome.COMPLETE, one.ticker.now).achieved == pytest.approx(8000)

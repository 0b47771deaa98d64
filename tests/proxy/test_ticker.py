import asyncio
import logging
from itertools import pairwise
from math import ceil

import pytest

from shaper.proxy import ticker as module
from shaper.proxy.clock import monotonic
from shaper.proxy.ticker import BUDGET, BUSY, EASY, GRAIN, TURN, Alarm, Ticker


@pytest.fixture(params=["timerfd", "asyncio"])
async def ticker(request, monkeypatch):
    if request.param == "timerfd" and not module._TIMERFD:
        pytest.skip("this system has no timerfd")
    monkeypatch.setattr(module, "_TIMERFD", request.param == "timerfd")
    ticker = Ticker()
    yield ticker
    ticker.close()


async def test_alarms_go_off_in_order_and_never_early(ticker):
    went, begun, done = [], monotonic(), asyncio.Event()
    for delay in (0.03, 0.01, 0.02, 0.0, -1.0):
        ticker.call_at(begun + delay, lambda now, delay=delay: went.append((delay, now)))
    ticker.call_at(begun + 0.04, lambda now: done.set())
    await asyncio.wait_for(done.wait(), 5)
    assert [delay for delay, _ in went] == [-1.0, 0.0, 0.01, 0.02, 0.03]
    assert all(now >= begun + delay for delay, now in went)


async def test_an_earlier_alarm_does_not_wait_for_a_later_one(ticker):
    went, begun = asyncio.Event(), monotonic()
    ticker.call_at(begun + 60, lambda now: None)
    ticker.call_at(begun + 0.01, lambda now: went.set())
    await asyncio.wait_for(went.wait(), 5)
    assert monotonic() - begun < 5


async def test_a_cancelled_alarm_does_not_go_off(ticker):
    went, done = [], asyncio.Event()
    alarm = ticker.call_at(monotonic() + 0.01, went.append)
    ticker.call_at(monotonic() + 0.02, lambda now: done.set())
    alarm.cancel()
    await asyncio.wait_for(done.wait(), 5)
    assert went == []


async def test_an_alarm_may_set_another(ticker):
    done = asyncio.Event()
    ticker.call_at(monotonic(), lambda now: ticker.call_at(now + 0.01, lambda now: done.set()))
    await asyncio.wait_for(done.wait(), 5)


async def test_an_alarm_that_went_off_may_be_set_again(ticker):
    went, done = [], asyncio.Event()

    def go(now):
        went.append((alarm.when, now))
        ticker.set(alarm, now + 0.01) if len(went) < 3 else done.set()

    alarm = Alarm(go)
    ticker.set(alarm, monotonic())
    await asyncio.wait_for(done.wait(), 5)
    assert len(went) == 3
    assert all(later >= before + 0.01 for (_, before), (later, _) in pairwise(went))
    assert all(now >= when for when, now in went)


async def test_an_alarm_that_fails_is_told_and_stops_no_other(ticker, caplog):
    done = asyncio.Event()
    with caplog.at_level(logging.ERROR):
        ticker.call_at(monotonic(), lambda now: 1 / 0)
        ticker.call_at(monotonic(), lambda now: done.set())
        await asyncio.wait_for(done.wait(), 5)
    assert "An alarm failed." in caplog.text


async def test_many_alarms_let_the_loop_have_its_turn(ticker):
    turns, spun = 0, []

    def spin(now):
        end = monotonic() + TURN / 2
        while monotonic() < end:
            pass
        spun.append(now)

    for _ in range(50):
        ticker.call_at(0, spin)
    while len(spun) < 50:
        await asyncio.sleep(0)
        turns += 1
    assert turns > 10


async def test_lag_is_told(ticker):
    lags, done = [], asyncio.Event()
    ticker._on_lag = lags.append
    ticker.call_at(monotonic() - 0.5, lambda now: done.set())
    await asyncio.wait_for(done.wait(), 5)
    assert lags[0] >= 0.5


async def test_pieces_grow_with_the_wakes_that_are_asked_for_and_the_budget_is_never_exceeded(ticker):
    ticker.demand(EASY)
    assert ticker.stretch == 1
    wakes = [EASY]
    for _ in range(50):
        ticker.demand(EASY)
        wakes.append((len(wakes) + 1) * EASY / ticker.stretch)
    assert wakes == pytest.approx(sorted(wakes))
    assert wakes[-1] == pytest.approx(BUDGET)
    ticker.demand(-50 * EASY)
    assert ticker.stretch == 1


async def test_the_grain_is_coarser_the_larger_the_pieces_are_and_none_while_there_is_little_to_do(ticker):
    grains = []
    for asked in (BUSY, 1.0, 10_000.0, 40_000.0):
        ticker.demand(asked)
        grains.append(ticker.grain)
        assert not ticker.grain or 3.3 <= 0.020 * ticker.stretch / ticker.grain <= 6.7
    assert grains == [0, GRAIN, 2 * GRAIN, 8 * GRAIN]
    ticker.demand(-60_000.0)
    assert (ticker.stretch, ticker.grain) == (1, 0)


@pytest.mark.parametrize(("transfers", "period"), [(10, 0.02), (20, 0.02), (100, 0.04), (200, 0.05), (1000, 0.2)])
async def test_so_many_transfers_at_150_kbit_have_pieces_of(ticker, transfers, period):
    ticker.demand(50.0 * transfers)
    piece, grain = 0.020 * ticker.stretch, ticker.grain
    assert (round(piece / grain) * grain if grain else piece) == pytest.approx(period)


async def test_alarms_of_one_grain_go_off_together(ticker, monkeypatch):
    monkeypatch.setattr(module, "TURN", 60.0)
    monkeypatch.setattr(module, "GRAIN", 0.25)
    ticker.demand(BUSY + 1)
    went, done = [], asyncio.Event()
    start = ceil(monotonic() / 0.25 + 1) * 0.25
    for part in (0.01, 0.1, 0.2):
        ticker.call_at(start + part, lambda now: ticker.together("same", lambda: went.append(monotonic())))
    ticker.call_at(start + 0.24, lambda now: done.set())
    await asyncio.wait_for(done.wait(), 5)
    await asyncio.sleep(0)
    assert len(went) == 1
    assert went[0] >= start + 0.25


async def test_a_closed_ticker_calls_nobody(ticker):
    went = []
    ticker.call_at(monotonic() + 0.01, went.append)
    ticker.close()
    await asyncio.sleep(0.03)
    assert went == []


async def test_what_alarms_ask_for_together_is_called_once_after_the_last_of_them(ticker, monkeypatch):
    monkeypatch.setattr(module, "TURN", 60.0)  # all in one go, however busy the machine is
    went, done, begun = [], asyncio.Event(), monotonic() - 1

    def ask(now):
        went.append("alarm")
        ticker.together("same", lambda: went.append("together"))

    for _ in range(3):
        ticker.call_at(begun, ask)
    ticker.call_at(begun, lambda now: done.set())
    await asyncio.wait_for(done.wait(), 5)
    assert went == ["alarm"] * 3 + ["together"]
    ticker.together("same", lambda: went.append("at once"))
    assert went[-1] == "at once"

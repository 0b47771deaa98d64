"""Jobs run in one thread, in order; a failing tick does not end it."""

import threading

import pytest

from shaper.onboarding.writer import Writer


def test_a_job_returns_its_value_or_raises_its_error_to_the_caller():
    writer = Writer(lambda: None, 60)
    assert writer.do(lambda: 42) == 42
    with pytest.raises(ZeroDivisionError):
        writer.do(lambda: 1 / 0)
    assert writer.do(threading.current_thread) is not threading.current_thread()
    writer.close()


def test_ticks_go_on_after_one_that_failed_and_closing_ticks_a_last_time():
    ticks, thrice = [], threading.Event()

    def tick():
        ticks.append(1)
        if len(ticks) >= 3:
            thrice.set()
        raise OSError("disk full")

    writer = Writer(tick, 0.001)
    assert thrice.wait(30)
    writer.close()
    before = len(ticks)
    last = Writer(tick, 60)
    last.close()
    assert len(ticks) == before + 1

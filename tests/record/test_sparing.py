"""The same line is told once a minute, whatever happens; another line is told at once."""

import logging

import pytest

from shaper.record.sparing import EVERY, Sparing


@pytest.fixture
def log(caplog):
    """A logger whose lines are spared, its clock, and what spares them."""
    now = [1000.0]
    sparing, logger = Sparing(lambda: now[0]), logging.getLogger("test.sparing")
    logger.addFilter(sparing)
    yield logger, now, sparing
    logger.removeFilter(sparing)


def told(caplog):
    return [record.getMessage() for record in caplog.records]


def test_a_flood_is_one_line_and_the_next_minutes_line_says_how_much_it_was(log, caplog):
    logger, now, _ = log
    for _ in range(1000):
        logger.warning("it broke: %s", "here")
    now[0] += EVERY - 0.1
    logger.warning("it broke: %s", "here")
    assert told(caplog) == ["it broke: here"]
    now[0] += 0.1
    logger.warning("it broke: %s", "here")
    now[0] += EVERY
    logger.warning("it broke: %s", "here")
    assert told(caplog) == ["it broke: here", "it broke: here (1000 more in between)", "it broke: here"]


def test_what_is_different_is_told_at_once(log, caplog):
    logger, *_ = log
    for place in ("here", "there", "here"):
        logger.warning("it broke: %s", place)
    assert told(caplog) == ["it broke: here", "it broke: there"]


def test_what_is_forgotten_is_told_anew(log, caplog):
    logger, *_, sparing = log
    for _ in range(2):
        logger.warning("100 %% of it broke")
        sparing.forget()
    assert told(caplog) == ["100 %% of it broke"] * 2

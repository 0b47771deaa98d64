"""The log is short: a line a thing, once a minute."""

import logging
from contextlib import suppress

import pytest

from shaper.record import log


@pytest.fixture
def written(monkeypatch):
    """A logger whose lines are kept, and its clock."""
    lines, now = [], [0.0]

    class Keeping(logging.Handler):
        def emit(self, record):
            lines.append(self.format(record))

    handler, logger = Keeping(), logging.getLogger("shaper.tested")
    handler.setFormatter(log.OneLine())
    handler.addFilter(log.Seldom(lambda: now[0]))
    monkeypatch.setattr(logger, "handlers", [handler])
    monkeypatch.setattr(logger, "propagate", False)
    return logger, lines, now


def fail(logger, error):
    with suppress(type(error)):
        try:
            raise error
        except type(error):
            logger.exception("It failed.")
            raise


def test_an_exception_is_one_line_that_tells_neither_its_message_nor_its_trace(written):
    logger, lines, _ = written
    fail(logger, ValueError("www.example.org\n is not"))
    (line,) = lines
    assert line.startswith("ERROR shaper.tested: It failed. [ValueError at test_log.py:")
    assert "example" not in line


def test_a_flood_is_one_line_a_minute_that_counts_the_rest(written):
    logger, lines, now = written
    for second in range(61):
        now[0] = float(second)
        for _ in range(100):
            fail(logger, ValueError())
    assert len(lines) == 2
    assert "(and 5999 times since it was said last)" in lines[1]


def test_another_place_and_another_exception_are_another_thing(written):
    logger, lines, _ = written
    fail(logger, ValueError())
    fail(logger, KeyError())
    for what in ("thin", "thin", "spread"):
        logger.warning("And a\nwarning: %s", what)
    assert len(lines) == 4
    assert lines[3] == "WARNING shaper.tested: And a warning: spread"


def test_what_was_said_is_not_remembered_without_end(written):
    logger, lines, _ = written
    for number in range(3 * log.KEPT):
        logger.handle(logging.LogRecord("shaper.tested", logging.ERROR, "x.py", number, "Here.", None, None))
    assert len(lines) == 3 * log.KEPT
    assert len(logger.handlers[0].filters[0]._said) <= log.KEPT


def test_what_is_forgotten_is_said_anew(written):
    logger, lines, _ = written
    for _ in range(2):
        fail(logger, ValueError())
        logger.handlers[0].filters[0].forget()
    assert len(lines) == 2
    assert lines[0] == lines[1]

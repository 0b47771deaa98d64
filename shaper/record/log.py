"""The log of a run: a line for each thing that went wrong, and the same thing once a minute at most.

What fails for one response fails for the next thousand too. Only the place and the type of an exception are written,
for its message may hold anything; how many lines were left out is said with the next one.
"""

import logging
import time
import traceback
from collections.abc import Callable

QUIET = 60.0
"""Seconds for which a thing that was said is not said again."""

KEPT = 1000


class OneLine(logging.Formatter):
    """Level, logger and message, with an exception as its type and place."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Leave out the traceback, and what would break the line."""
        message = f"{record.levelname} {record.name}: {record.getMessage()}"
        if record.exc_info and (error := record.exc_info[1]):
            places = traceback.extract_tb(error.__traceback__)[-1:]
            where = "".join(f" at {place.filename.rpartition('/')[2]}:{place.lineno}" for place in places)
            message += f" [{type(error).__name__}{where}]"
        return message.replace("\n", " ").replace("\r", " ")


class Seldom(logging.Filter):
    """Lets the first of a kind pass: of the same place in the program, what it is about, and the exception's type."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said: dict[tuple[object, ...], tuple[float, int]] = {}  # when last, and how many were left out since

    def filter(self, record: logging.LogRecord) -> bool:
        """Count, or let pass and say how many were counted."""
        now = self._clock()
        error = record.exc_info[0] if record.exc_info else None
        kind = (record.pathname, record.lineno, str(record.args), error)
        said_at, left_out = self._said.get(kind, (-QUIET, 0))
        if now - said_at < QUIET:
            self._said[kind] = said_at, left_out + 1
            return False
        if len(self._said) >= KEPT:
            self._said.clear()
        self._said[kind] = now, 0
        if left_out:
            record.msg, record.args = f"{record.getMessage()} (and {left_out} times since it was said last)", None
        return True

    def forget(self) -> None:
        """Say everything anew."""
        self._said.clear()


SELDOM = Seldom()
"""For loggers that repeat themselves, whoever writes the log: shaper may be an addon of somebody else's tool."""


def begin() -> None:
    """Write warnings and errors to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine())
    handler.addFilter(Seldom())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)

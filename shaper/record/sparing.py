"""A log filter that lets the same line pass once a minute: what happens often is told, and floods no disk.

What is logged tells of kinds and places in the program, never of traffic, so there are few different lines.
"""

import logging
from collections import Counter
from collections.abc import Callable
from time import monotonic

EVERY = 60.0
"""Seconds between two lines that say the same."""


class Sparing(logging.Filter):
    """Remembers when each line was last told, and how often it was not told since."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._told: dict[str, float] = {}
        self._untold: Counter[str] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is told; it says how many were not."""
        line, now = record.getMessage(), self._clock()
        if now - self._told.get(line, -EVERY) < EVERY:
            self._untold[line] += 1
            return False
        self._told[line] = now
        if untold := self._untold.pop(line, 0):
            record.msg, record.args = f"{line} ({untold} more in between)", ()
        return True

    def forget(self) -> None:
        """Tell every line anew."""
        self._told.clear()
        self._untold.clear()


SPARING = Sparing()
"""The one of this process."""

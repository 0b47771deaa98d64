"""The garbage collector of a process that must not stop for long.

A full collection looks at every object that may be part of a cycle: at 160,000 that the start made, at some 400 for
each connection, and for as long nothing is paced: 60 ms and more. So what one has found alive is put aside (gc.freeze),
and the next looks at what came since; they are more frequent than by default, that it be little. What was put aside and
is out of use stays until the last client is gone, or too much is aside: then all is looked at.
"""

import gc
from typing import Any

GROWTH, MORE = 1.25, 50_000
"""Beyond this many times what was alive when all was looked at, and so many objects more, too much is aside. A closed
connection leaves up to 400 there, and some 100 kB."""


class Collector:
    """One a process, from `begin` to its end."""

    def __init__(self) -> None:
        self._aside = 0  # objects, at most: some are gone by themselves
        self._most = 0
        self._thorough = False  # whether the collection under way looks at all

    def begin(self) -> None:
        """Put aside what is alive, and do so from now on."""
        young, middle, _ = gc.get_threshold()
        gc.set_threshold(young, middle, 1)
        gc.callbacks.append(self._around)
        self.tidy()

    def tidy(self) -> None:
        """Look at all now."""
        self._most = 0
        gc.collect()

    def _around(self, phase: str, info: dict[str, Any]) -> None:
        """Take a call from the garbage collector, before and after each collection (gc.callbacks)."""
        if info["generation"] < 2:
            return
        if phase == "start":
            if self._aside >= self._most:
                self._aside = gc.get_freeze_count()  # counts them one by one: 15 ms
            self._thorough = self._aside >= self._most
            if self._thorough:
                gc.unfreeze()
        elif self._thorough:
            gc.freeze()
            self._aside = gc.get_freeze_count()
            self._most = int(GROWTH * self._aside) + MORE
        else:
            self._aside += len(gc.get_objects(2))
            gc.freeze()

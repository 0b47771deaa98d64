"""A thread that owns something slow. Jobs run one after another, in order, and a tick between them when it is quiet."""

import logging
import queue
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread

type Job = Callable[[], None]

log = logging.getLogger(__name__)


class Writer:
    """Started at once; `close` runs what is waiting, ticks a last time and ends the thread."""

    def __init__(self, tick: Job, every: float) -> None:
        self._tick, self._every = tick, every
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = Thread(target=self._run, name="shaper-writer", daemon=True)
        self._thread.start()

    def do[T](self, job: Callable[[], T]) -> T:
        """Run the job in the thread and return what it returns or raise what it raises."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(job())
            except BaseException as error:
                future.set_exception(error)

        self._jobs.put(run)
        return future.result(timeout=30)

    def close(self) -> None:
        """Run what is waiting, then end."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=self._every)
            except queue.Empty:
                self._safely()
                continue
            if job is None:
                return self._safely()
            job()

    def _safely(self) -> None:
        try:
            self._tick()
        except Exception:
            log.exception("the store could not be written; trying again")

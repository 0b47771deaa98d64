"""The journal: JSON Lines, one self-describing line a transfer.

A line is one TransferRecord and nothing else, so it holds no URL, query, cookie, body, host or client address: the type
has no field for them. There is no header line: study, policy digest, certificate and schema stand in every line, so
files can be cut, joined and rotated freely.

A thread of its own writes; `record` only puts the record into a bounded queue. While the file cannot be written the
lines wait, then overflow, and each one lost is counted. A file never holds a torn line between two whole ones: what a
failed write left behind is cut off again, and so is a tail that an earlier kill left.

Past 150 lines because writing, mending and reading must agree on what a whole line is.
"""

import errno
import fcntl
import logging
import os
import queue
import stat
import threading
from collections.abc import Iterator
from contextlib import suppress
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import Protocol

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from shaper.policy.refused import RefusedError
from shaper.record.transfer import SCHEMA, TransferRecord

QUEUE = 20_000  # records of about 1 kB: what a lab proxy makes in a minute at its busiest
GATHER = 0.05  # seconds between writes, so that a busy proxy makes 20 a second rather than one a response
RETRY = 1.0  # seconds between attempts while the file cannot be written
LONGEST_LINE = 2**16

log = logging.getLogger("shaper.journal")
codec = TypeAdapter(TransferRecord)
PREFIX = f'{{"schema":"{SCHEMA}"'.encode()


class Loss(StrEnum):
    """Why a line is not in the journal, or not yet. A closed list: it labels metrics."""

    QUEUE_FULL = "queue-full"  # lost: the file could not be written for long
    CLOSED = "closed"  # lost: the proxy stopped before it could be written
    WRITE = "write"  # a write failed; its lines are kept and tried again
    MALFORMED = "malformed"  # lost: the record cannot be put into JSON


class Watcher(Protocol):
    """Who counts what the journal does. Called from the event loop and from the writing thread."""

    def journal_written(self, lines: int) -> None: ...

    def journal_failed(self, loss: Loss, count: int = 1) -> None: ...


class Journal:
    """A Recorder that appends to a file."""

    def __init__(self, path: Path, watcher: Watcher, *, size: int = QUEUE, retry: float = RETRY) -> None:
        """Open the file, so that a path that cannot work is refused before anything runs."""
        self._path = path
        self._watcher = watcher
        self._retry = retry
        self._size = size
        self._queue: queue.SimpleQueue[TransferRecord | None] = queue.SimpleQueue()  # None: wake up, we close
        self._reopen = threading.Event()
        self._closing = threading.Event()
        self._failing = False
        try:
            self._file: int | None = _open(path)
        except OSError as error:
            raise RefusedError(
                f"{path}: the journal cannot be written: {error.strerror}", "name another file"
            ) from None
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def record(self, record: TransferRecord) -> None:
        if self._closing.is_set():
            self._watcher.journal_failed(Loss.CLOSED)
        elif self._queue.qsize() >= self._size:
            self._watcher.journal_failed(Loss.QUEUE_FULL)
        else:
            self._queue.put(record)

    def reopen(self) -> None:
        """Go on in a fresh file of the same name: logrotate moved the old one away."""
        self._reopen.set()

    def close(self, timeout: float = 5.0) -> bool:
        """Write what is queued, give up after `timeout` seconds, and return whether every line was written."""
        self._closing.set()
        self._queue.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive() and self._queue.empty() and not self._failing

    def _run(self) -> None:
        while not self._closing.is_set() or not self._queue.empty():
            if lines := self._take():
                self._write(lines)
            self._closing.wait(GATHER)
        self._shut()

    def _take(self) -> list[bytes]:
        """Wait for a record and return the lines of all that are queued."""
        lines = [self._encode(self._queue.get())]
        while not self._queue.empty():
            lines.append(self._encode(self._queue.get()))
        return [line for line in lines if line]

    def _encode(self, record: TransferRecord | None) -> bytes:
        try:
            return codec.dump_json(record) + b"\n" if record else b""
        except ValueError:
            self._watcher.journal_failed(Loss.MALFORMED)
            return b""

    def _write(self, lines: list[bytes]) -> None:
        """Write the lines, however long it takes; once the journal is closing, try once more and give up."""
        data = b"".join(lines)
        while not self._append(data):
            self._watcher.journal_failed(Loss.WRITE)
            if self._closing.is_set():
                self._watcher.journal_failed(Loss.CLOSED, len(lines))
                return
            self._closing.wait(self._retry)
        self._watcher.journal_written(len(lines))

    def _append(self, data: bytes) -> bool:
        """Write all of the data or none of it."""
        if self._reopen.is_set():
            self._reopen.clear()
            self._shut()
        try:
            if self._file is None:
                self._file = _open(self._path)
            _append_whole(self._file, data)
        except OSError as error:
            if not self._failing:
                log.error("%s: the journal cannot be written: %s; trying again", self._path, error.strerror)
            self._failing = True
            self._shut()
            return False
        if self._failing:
            log.warning("%s: the journal is written again", self._path)
        self._failing = False
        return True

    def _shut(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                os.close(self._file)
        self._file = None


def read(path: Path) -> Iterator[TransferRecord]:
    """Yield the records of a journal. A line of anything else is refused with file and line.

    Only the last line may be unfinished, as a kill leaves it; it is left out with a warning.
    """
    try:
        with path.open("rb") as file:
            for number in count(1):
                if not (line := file.readline(LONGEST_LINE)):
                    return
                try:
                    yield parse(line.rstrip())
                except ValueError as error:
                    if not line.endswith(b"\n") and not file.read(1):
                        log.warning("%s:%d: the last line is unfinished and left out", path, number)
                        return
                    raise RefusedError(
                        f"{path}:{number}: not a {SCHEMA} line: {error}",
                        "delete the line, or read a file that shaper wrote",
                    ) from None
    except OSError as error:
        raise RefusedError(
            f"{path}: the journal cannot be read: {error.strerror}", "name a file that shaper wrote"
        ) from None


def parse(line: bytes) -> TransferRecord:
    """Return the record that a line holds, or raise ValueError with the reason in one line."""
    try:
        raw = from_json(line, allow_inf_nan=False)
        if not isinstance(raw, dict) or raw.get("schema") != SCHEMA:
            raise ValueError("it names no such schema")
        return codec.validate_json(line, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _open(path: Path) -> int:
    """Open a journal to append to, alone, with a whole line at its end."""
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(errno.EBUSY, "another process is writing it") from None
        _mend(path, file)
    except OSError:
        os.close(file)
        raise
    return file


def _mend(path: Path, file: int) -> None:
    """Refuse a file that holds something else, and cut off what a kill left of a last line."""
    size = os.fstat(file).st_size
    if not PREFIX.startswith(os.pread(file, len(PREFIX), 0)):
        raise OSError(errno.EEXIST, "it exists and is not a journal")
    tail = os.pread(file, LONGEST_LINE, max(0, size - LONGEST_LINE))
    unfinished = len(tail) - (tail.rfind(b"\n") + 1)
    if unfinished:
        os.ftruncate(file, size - unfinished)
        log.warning("%s: cut off %d bytes of an unfinished last line", path, unfinished)


def _append_whole(file: int, data: bytes) -> None:
    size = os.fstat(file).st_size
    try:
        written = 0
        while written < len(data):
            written += os.write(file, data[written:])
    except OSError:
        with suppress(OSError):
            os.ftruncate(file, size)
        raise

"""The audit log: who changed what, when, with what outcome. JSON Lines, only ever appended to.

Each line holds the hash of the one before, so a line that was changed or taken out from the middle is noticed
(`verify`). It holds no volunteer's name but their pseudonym, and no secret.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from threading import Lock

from pydantic import TypeAdapter, ValidationError

from shaper.policy.refused import RefusedError

type Detail = str | int | bool | None

BEGINNING = "0" * 64


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line. `before` is SHA-256 of the line before, as hex."""

    time: str
    who: str
    action: str
    outcome: str  # "done" or "refused"
    detail: dict[str, Detail]
    before: str


@dataclass(frozen=True, slots=True)
class Verified:
    """A log whose every line follows from the one before. A copy of `last` tells later whether lines were cut off."""

    lines: int
    last: str  # SHA-256 of the last line


codec = TypeAdapter(AuditEntry)


class AuditLog:
    """One log, written by one process at a time. Safe to use from several threads."""

    def __init__(self, path: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.path, self._now, self._lock = path, now, Lock()
        try:
            self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RefusedError(f"{path}: audit log: another process is writing it", "name another file") from None
        except OSError as error:
            raise RefusedError(f"{path}: audit log: {error.strerror}", "name another file") from None
        whole = path.read_bytes().rfind(b"\n") + 1
        os.ftruncate(
            self._file, whole
        )  # of a line that a kill cut short nothing is lost: its change was never answered
        self._before = BEGINNING
        for line in _lines(path):
            self._before = _hash(line)

    def write(self, who: str, action: str, outcome: str, **detail: Detail) -> None:
        """Append one line and wait until it is on disk."""
        with self._lock:
            time = self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
            entry = AuditEntry(time, who, action, outcome, detail, self._before)
            line = json.dumps(asdict(entry), separators=(",", ":")).encode()
            os.write(self._file, line + b"\n")
            os.fsync(self._file)
            self._before = _hash(line)

    @contextmanager
    def of(self, who: str, action: str, **detail: Detail) -> Iterator[dict[str, Detail]]:
        """Write how the action that runs inside ended. It may add to the detail."""
        try:
            yield detail
        except Exception as error:
            self.write(who, action, "refused", **detail, why=str(error)[:500])
            raise
        self.write(who, action, "done", **detail)

    def newest(self, limit: int) -> list[AuditEntry]:
        """Return the newest entries, newest first."""
        return [codec.validate_json(line) for line in list(_lines(self.path))[-limit:][::-1]]

    def verify(self) -> Verified:
        """Read it through while nothing is written."""
        with self._lock:
            return verify(self.path)

    def close(self) -> None:
        """Let another process write."""
        os.close(self._file)


def verify(path: Path) -> Verified:
    """Read the log through, or refuse it at the first line that does not follow from the one before."""
    before, number = BEGINNING, 0
    try:
        for number, line in enumerate(_lines(path), 1):
            if not _follows(line, before):
                raise RefusedError(
                    f"{path}:{number}: audit log: does not follow from the line before",
                    "the log was changed by hand; compare it with a copy",
                )
            before = _hash(line)
    except OSError as error:
        raise RefusedError(f"{path}: audit log: {error.strerror}", "check the path") from None
    return Verified(number, before)


def _follows(line: bytes, before: str) -> bool:
    try:
        return codec.validate_json(line).before == before
    except ValidationError:
        return False


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            yield line.rstrip(b"\n")


def _hash(line: bytes) -> str:
    return sha256(line).hexdigest()

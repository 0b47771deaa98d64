"""Where volunteers live between runs: one small interface, and SQLite behind it.

There is no column for an address, a user agent, a URL or a name, so none can be stored. A deleted person's bytes are
overwritten and the file is rewritten (`secure_delete`, VACUUM; a rollback journal, no write-ahead log to linger).
One thread at a time uses a store. A shared store can take SQLite's place by offering the same methods.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Protocol

from shaper.onboarding.consent import Consent
from shaper.policy.refused import RefusedError


@dataclass(frozen=True, slots=True)
class Volunteer:
    """One row a person. `id` is random and never leaves the store's floor; others see a pseudonym."""

    id: str
    credential: bytes  # keyed hash of user name and password
    created: float
    access: str | None = None  # "mobile", "fixed" or unknown, as the person said
    arm: str | None = None  # the arm they are in, once they are in one
    paused_until: float = 0.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a person's own list: JSON that they may see, download and delete."""

    volunteer: str
    time: float
    size: int  # bytes that count against the budget
    body: str


class Store(Protocol):
    """What the roster asks of a store. Every call is one transaction."""

    def load(self) -> Sequence[tuple[Volunteer, Consent | None]]:
        """Return everybody with their latest consent."""

    def changed(self) -> bool:
        """Whether somebody else has written since this was last asked."""

    def save(self, volunteer: Volunteer) -> None:
        """Add or replace one person."""

    def save_consent(self, id_: str, consent: Consent) -> None:
        """Add a consent, or replace the one given at the same instant (to withdraw it)."""

    def consents(self, id_: str) -> Sequence[Consent]:
        """Return all consents of a person, oldest first."""

    def add(self, entries: Iterable[Entry], keep: int) -> None:
        """Append entries, keeping the newest `keep` a person. Entries of unknown people are dropped."""

    def entries(self, id_: str, limit: int) -> Sequence[Entry]:
        """Return a person's newest entries, newest first."""

    def used(self, time: float) -> dict[str, int]:
        """Return the bytes of each person's entries on the UTC day of an instant, the dropped ones included."""

    def purge(self, before: float) -> None:
        """Forget entries and usage older than an instant."""

    def delete(self, id_: str) -> None:
        """Forget a person and everything of theirs, so that no byte of it is left in the file."""

    def close(self) -> None:
        """Write everything out."""


SCHEMA = """
CREATE TABLE IF NOT EXISTS study (name TEXT PRIMARY KEY) STRICT;
CREATE TABLE IF NOT EXISTS volunteer (
    id TEXT PRIMARY KEY, credential BLOB NOT NULL UNIQUE, created REAL NOT NULL,
    access TEXT, arm TEXT, paused_until REAL NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS consent (
    volunteer TEXT NOT NULL REFERENCES volunteer ON DELETE CASCADE,
    text TEXT NOT NULL, language TEXT NOT NULL, given REAL NOT NULL, expires REAL NOT NULL, withdrawn REAL,
    PRIMARY KEY (volunteer, given)) STRICT;
CREATE TABLE IF NOT EXISTS entry (
    volunteer TEXT NOT NULL REFERENCES volunteer ON DELETE CASCADE,
    time REAL NOT NULL, size INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS usage (
    volunteer TEXT NOT NULL REFERENCES volunteer ON DELETE CASCADE,
    day TEXT NOT NULL, bytes INTEGER NOT NULL, PRIMARY KEY (volunteer, day)) STRICT;
CREATE INDEX IF NOT EXISTS entry_of ON entry (volunteer, time);
"""


class SqliteStore:
    """The volunteers of one study in one file. A database belongs to its study: consent is not carried over."""

    def __init__(self, path: Path, study: str) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        try:
            self._db = sqlite3.connect(path, autocommit=True, check_same_thread=False, timeout=10)
            for pragma in ("secure_delete = ON", "foreign_keys = ON", "journal_mode = DELETE", "temp_store = MEMORY"):
                self._db.execute(f"PRAGMA {pragma}")
            self._db.executescript(SCHEMA)
            self._db.execute("INSERT INTO study SELECT ? WHERE NOT EXISTS (SELECT * FROM study)", (study,))
            (owner,) = self._db.execute("SELECT name FROM study").fetchone()
        except sqlite3.DatabaseError as error:
            raise RefusedError(f"{path}: volunteers: {error}", "name another file or restore this one") from None
        if owner != study:
            raise RefusedError(
                f'{path}: volunteers: took part in the study "{owner}", not "{study}"', "use one file a study"
            )
        self._seen = self._version()

    def load(self) -> Sequence[tuple[Volunteer, Consent | None]]:
        rows = self._db.execute(
            "SELECT volunteer, text, language, given, expires, withdrawn FROM consent ORDER BY given"
        )
        latest = {id_: Consent(*consent) for id_, *consent in rows}
        rows = self._db.execute(
            "SELECT id, credential, created, access, arm, paused_until FROM volunteer ORDER BY 3, 1"
        )
        return [(Volunteer(*row), latest.get(row[0])) for row in rows]

    def changed(self) -> bool:
        seen, self._seen = self._seen, self._version()
        return seen != self._seen

    def save(self, volunteer: Volunteer) -> None:
        self._db.execute(
            "INSERT INTO volunteer (id, credential, created, access, arm, paused_until) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET credential = excluded.credential, access = excluded.access,"
            " arm = excluded.arm, paused_until = excluded.paused_until",
            astuple(volunteer),
        )

    def save_consent(self, id_: str, consent: Consent) -> None:
        self._db.execute("INSERT OR REPLACE INTO consent VALUES (?, ?, ?, ?, ?, ?)", (id_, *astuple(consent)))

    def consents(self, id_: str) -> Sequence[Consent]:
        query = "SELECT text, language, given, expires, withdrawn FROM consent WHERE volunteer = ? ORDER BY given"
        return [Consent(*consent) for consent in self._db.execute(query, (id_,))]

    def add(self, entries: Iterable[Entry], keep: int) -> None:
        entries = list(entries)
        with self._transaction():
            self._append(entries)
            self._trim({entry.volunteer for entry in entries}, keep)

    def _append(self, entries: Sequence[Entry]) -> None:
        self._db.executemany(
            "INSERT INTO entry SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (SELECT * FROM volunteer WHERE id = ?1)",
            map(astuple, entries),
        )
        self._db.executemany(
            "INSERT INTO usage SELECT ?1, date(?2, 'unixepoch'), ?3"
            " WHERE EXISTS (SELECT * FROM volunteer WHERE id = ?1)"
            " ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes",
            [(entry.volunteer, entry.time, entry.size) for entry in entries if entry.size],
        )

    def _trim(self, owners: Iterable[str], keep: int) -> None:
        for owner in owners:
            self._db.execute(
                "DELETE FROM entry WHERE rowid IN (SELECT rowid FROM entry WHERE volunteer = ?"
                " ORDER BY time DESC, rowid DESC LIMIT -1 OFFSET ?)",
                (owner, keep),
            )

    def entries(self, id_: str, limit: int) -> Sequence[Entry]:
        rows = self._db.execute(
            "SELECT volunteer, time, size, body FROM entry WHERE volunteer = ? ORDER BY time DESC, rowid DESC LIMIT ?",
            (id_, limit),
        )
        return [Entry(*row) for row in rows]

    def used(self, time: float) -> dict[str, int]:
        query = "SELECT volunteer, bytes FROM usage WHERE day = date(?, 'unixepoch')"
        return dict(self._db.execute(query, (time,)).fetchall())

    def purge(self, before: float) -> None:
        self._db.execute("DELETE FROM entry WHERE time < ?", (before,))
        self._db.execute("DELETE FROM usage WHERE day < date(?, 'unixepoch')", (before,))

    def delete(self, id_: str) -> None:
        self._db.execute("DELETE FROM volunteer WHERE id = ?", (id_,))
        self._db.execute("VACUUM")

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _version(self) -> int:
        (version,) = self._db.execute("PRAGMA data_version").fetchone()
        return int(version)

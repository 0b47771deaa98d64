"""The people of one study: in memory for the proxy (`Presence`), in the store for tomorrow, and what they may do.

One writer thread owns the store and alone changes who is on the roster. Calls from other threads (the site, the control
API) return when their change is on disk. Outside, people are known by pseudonym; an unknown one raises
UnknownVolunteerError, except on the proxy's calls. Other processes may write the store (`shaper invite`): seen in TICK.
"""

import json
import logging
import secrets
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, replace
from itertools import islice, product
from pathlib import Path

from shaper.onboarding.budget import HOUR, Terms
from shaper.onboarding.consent import Consent
from shaper.onboarding.credentials import Credential
from shaper.onboarding.member import Member
from shaper.onboarding.presence import Known, Presence
from shaper.onboarding.pseudonym import Pseudonyms
from shaper.onboarding.store import SqliteStore, Store, Volunteer
from shaper.onboarding.writer import Writer
from shaper.policy.refused import RefusedError
from shaper.record import private
from shaper.record.erasure import erase

TICK = 0.5  # seconds between writes of records and looks at what other processes wrote
LINGER = 60.0  # seconds after a deletion in which a line of that person may still reach a journal

log = logging.getLogger(__name__)


class UnknownVolunteerError(LookupError):
    """There is nobody of that pseudonym: never was, or deleted."""


class Roster(Presence):
    """`journals` are the files from which a deleted person's pseudonym is to vanish, too."""

    def __init__(
        self,
        store: Store,
        pseudonyms: Pseudonyms,
        key: bytes,
        *,
        terms: Terms | None = None,
        texts: Collection[str] = (),
        journals: Sequence[Path] = (),
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(key, terms or Terms(), texts, now)
        self.journals = journals
        self.assignment_key = pseudonyms.assignment_key
        self._store, self._pseudonyms = store, pseudonyms
        self._deleted: dict[str, float] = {}  # pseudonyms to erase from the journals once more, and since when
        self._purged = 0.0
        self._load()
        self._writer = Writer(self._tick, TICK)

    def enrol(self, access: str | None = None, arm: str | None = None) -> tuple[str, Credential]:
        """Add a person; return their pseudonym and the credential, which cannot be shown again."""
        credential = Credential.new()
        digest = credential.digest(self._key)
        volunteer = Volunteer(secrets.token_hex(16), digest, self._now(), access=access, arm=arm)
        self._writer.do(lambda: self._save(volunteer))
        return self._pseudonyms.of(volunteer.id), credential

    def sign_in(self, token: str) -> str | None:
        """Return the pseudonym of whoever holds this invitation's token, or None."""
        credential = Credential.parse(token) or Credential("", "")
        return self.authenticate(credential.username, credential.password)

    def renew(self, pseudonym: str) -> Credential:
        """Give a person a new credential; the old one, and the link that carries it, end at once."""
        credential = Credential.new()
        digest = credential.digest(self._key)
        self._change(pseudonym, lambda volunteer: replace(volunteer, credential=digest))
        return credential

    def member(self, pseudonym: str) -> Member:
        """Return how a person stands now."""
        volunteer, consent = self._person(pseudonym)
        return Member(
            pseudonym=pseudonym,
            state=self.state(pseudonym),
            created=volunteer.created,
            access=volunteer.access,
            arm=volunteer.arm,
            consent=consent,
            paused_until=self._paused_until(pseudonym, volunteer),
            used=self._used.get(pseudonym, 0),
        )

    def members(self) -> list[Member]:
        """Return everybody, oldest first."""
        return [self.member(pseudonym) for pseudonym in tuple(self._people)]

    def consent(self, pseudonym: str, text: str, language: str) -> Consent:
        """Note that the person agrees to the text of this digest. A text no longer in force is refused."""
        if self.texts and text not in self.texts:
            raise RefusedError("this consent text is no longer in force", "read the present one and answer again")
        now = self._now()
        consent = Consent(text, language, now, now + self.terms.consent)
        self._agree(pseudonym, consent)
        return consent

    def stop(self, pseudonym: str) -> None:
        """Withdraw the consent, at once. What was kept stays until `delete`."""
        consent = self._person(pseudonym).consent
        if consent is not None and consent.withdrawn is None:
            self._agree(pseudonym, replace(consent, withdrawn=self._now()))

    def pause(self, pseudonym: str, seconds: float = 3600.0) -> None:
        """Leave the person alone for a while."""
        until = self._now() + seconds
        self._change(pseudonym, lambda volunteer: replace(volunteer, paused_until=until))

    def resume(self, pseudonym: str) -> None:
        """End a pause, or the rest after a long session."""
        self._change(pseudonym, lambda volunteer: replace(volunteer, paused_until=0.0))
        self._sessions.pop(pseudonym, None)

    def set_access(self, pseudonym: str, access: str | None) -> None:
        """Note the kind of line that the person says they are on."""
        self._change(pseudonym, lambda volunteer: replace(volunteer, access=access))

    def rehearse(self, pseudonym: str, arm: str, seconds: float = 120.0) -> None:
        """Let the person feel an arm for a while, in their own test. The arm they are in stays theirs."""
        self._person(pseudonym)
        self._rehearsed[pseudonym] = arm, self._now() + seconds

    def delete(self, pseudonym: str) -> None:
        """Forget the person and all that is theirs. Their credential is wrong from now on."""
        id_ = self._person(pseudonym).volunteer.id

        def forget() -> None:
            self._store.delete(id_)
            self._load()
            self._erase(pseudonym)
            self._deleted[pseudonym] = self._now()  # and once more, for lines that were on their way

        self._writer.do(forget)

    def entries(self, pseudonym: str, limit: int = 100) -> list[dict[str, object]]:
        """Return the newest of a person's list, newest first."""
        id_ = self._person(pseudonym).volunteer.id

        def read() -> list[dict[str, object]]:
            self._flush()
            return [json.loads(entry.body) for entry in self._store.entries(id_, limit)]

        return self._writer.do(read)

    def own_data(self, pseudonym: str) -> dict[str, object]:
        """Return everything kept about a person, ready for JSON."""
        id_ = self._person(pseudonym).volunteer.id
        return {
            "volunteer": asdict(self.member(pseudonym)),
            "consents": [asdict(consent) for consent in self._writer.do(lambda: self._store.consents(id_))],
            "transfers": self.entries(pseudonym, self.terms.entries),
        }

    def close(self) -> None:
        """Write what is waiting. Close the journals first: the deleted are erased from them a last time."""
        self._writer.do(lambda: self._erase(*self._deleted))
        self._writer.close()
        self._store.close()

    def _person(self, pseudonym: str) -> Known:
        try:
            return self._people[pseudonym]
        except KeyError:
            raise UnknownVolunteerError(pseudonym) from None

    def _change(self, pseudonym: str, change: Callable[[Volunteer], Volunteer]) -> None:
        self._writer.do(lambda: self._save(change(self._person(pseudonym).volunteer)))

    def _agree(self, pseudonym: str, consent: Consent) -> None:
        def agree() -> None:
            self._store.save_consent(self._person(pseudonym).volunteer.id, consent)
            self._load()

        self._writer.do(agree)

    # In the writer thread

    def _save(self, volunteer: Volunteer) -> None:
        self._store.save(volunteer)
        self._load()

    def _load(self) -> None:
        """Read everybody anew. Whole dictionaries are swapped in, so a reader never sees half a change."""
        self._flush()
        people = {self._pseudonyms.of(person.id): Known(person, consent) for person, consent in self._store.load()}
        used = self._store.used(self._now())
        self._people = people
        self._holders = {person.credential: name for name, (person, _) in people.items()}
        self._used = {
            name: max(self._used.get(name, 0), used.get(person.id, 0)) for name, (person, _) in people.items()
        }

    def _flush(self) -> None:
        entries = list(islice(self._entries, len(self._entries)))
        if entries:
            self._store.add(entries, self.terms.entries)
        for _ in entries:  # only now: a store that fails gets them again
            self._entries.popleft()

    def _erase(self, *pseudonyms: str) -> None:
        for journal, pseudonym in product(self.journals, pseudonyms):
            try:
                erase(journal, pseudonym)
            except OSError as error:
                log.error("%s: a pseudonym could not be erased: %s", journal, error.strerror)

    def _tick(self) -> None:
        self._flush()
        if self.dropped:
            dropped, self.dropped = self.dropped, 0
            log.error("%d records came faster than the disk takes them, and are in nobody's list", dropped)
        for pseudonym in [name for name, since in self._deleted.items() if self._now() - since > LINGER]:
            self._erase(pseudonym)
            del self._deleted[pseudonym]
        for client in tuple(self._drawn):
            if client in self._people:
                self._store.save(replace(self._people[client].volunteer, arm=self._drawn[client]))
        if self._drawn or self._store.changed():
            self._load()
            self._drawn.clear()
        if self._now() - self._purged >= HOUR:
            self._purged = self._now()
            self._store.purge(self._purged - self.terms.keep)


def open_roster(
    database: Path,
    study: str,
    *,
    keys: Path | None = None,
    terms: Terms | None = None,
    texts: Collection[str] = (),
    journals: Sequence[Path] = (),
    now: Callable[[], float] = time.time,
) -> Roster:
    """Open or make a study's roster. Its keys live in `keys`, by default a directory beside the database."""
    keys = keys or database.with_name(f"{database.stem}-keys")
    return Roster(
        SqliteStore(database, study),
        Pseudonyms.of_study(keys, study),
        private.ensure(keys / "credentials.key"),
        terms=terms,
        texts=texts,
        journals=journals,
        now=now,
    )

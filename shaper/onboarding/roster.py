"""The people of one study, in memory for the proxy and in the store for tomorrow.

The proxy's event loop calls `authenticate`, `standing` and `record`: they look up and append, never wait and never
raise. One writer thread owns the store and alone changes who is on the roster. Calls from other threads (the site, the
control API) return when their change is on disk. Outside, people are known by pseudonym; an unknown one raises
UnknownVolunteerError, except on the proxy's calls. Other processes may write the store (`shaper invite`): seen in TICK.
"""

import json
import secrets
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, replace
from pathlib import Path

from shaper.onboarding.budget import DAY, Session, Terms
from shaper.onboarding.consent import Consent
from shaper.onboarding.credentials import Credential
from shaper.onboarding.member import Member, State, state_of
from shaper.onboarding.pseudonym import Pseudonyms
from shaper.onboarding.store import Entry, Kind, SqliteStore, Store, Volunteer
from shaper.onboarding.writer import Writer
from shaper.policy.admission import Standing
from shaper.policy.refused import RefusedError
from shaper.policy.verdict import Person
from shaper.record import private
from shaper.record.transfer import TransferRecord

TICK = 0.5  # seconds between writes of records and looks at what other processes wrote
BACKLOG = 50_000  # records waiting for the disk; more are dropped, counted
SHOWN = (  # of a record, in a person's own list
    "id", "time", "policy", "mode", "arm", "phase", "level", "direction", "target", "rule", "media", "evidence",
    "reason", "rate", "status", "outcome", "size", "client_ttfb", "duration", "held", "rate_ratio",
)  # fmt: skip


class UnknownVolunteerError(LookupError):
    """There is nobody of that pseudonym: never was, or deleted."""


class Roster:
    """Implements `policy.admission.Registry` and `record.transfer.Recorder`, and all that the site asks.

    `texts` holds the digests of the consent texts in force, one a language; empty: any text will do.
    """

    def __init__(
        self,
        store: Store,
        pseudonyms: Pseudonyms,
        key: bytes,
        *,
        terms: Terms | None = None,
        texts: Collection[str] = (),
        now: Callable[[], float] = time.time,
    ) -> None:
        self.terms = terms or Terms()
        self.texts = frozenset(texts)
        self.refused = 0  # wrong credentials shown to the proxy or the site
        self.dropped = 0  # records that found the backlog full
        self._store, self._pseudonyms, self._key, self._now = store, pseudonyms, key, now
        self._people: dict[str, tuple[Volunteer, Consent | None]] = {}  # by pseudonym
        self._holders: dict[bytes, str] = {}  # credential's digest -> pseudonym
        self._sessions: dict[str, Session] = {}
        self._drawn: dict[str, str] = {}  # arms that the policy drew, not yet in the store
        self._rehearsed: dict[str, tuple[str, float]] = {}  # the arm of a person's own test, and until when
        self._used: dict[str, int] = {}  # bytes since the beginning of ...
        self._day = now() // DAY
        self._entries: deque[Entry] = deque()
        self._load()
        self._writer = Writer(self._tick, TICK)

    # On the proxy's event loop

    def authenticate(self, username: str, password: str) -> str | None:
        """Return the pseudonym of whoever holds these credentials, or None, counted."""
        client = self._holders.get(Credential(username, password).digest(self._key))
        self.refused += client is None
        return client

    def standing(self, client: str) -> Standing:
        """Return how to treat a client. Strangers and people without consent are left alone."""
        now = self._now()
        state, found = self._state(client, now), self._people.get(client)
        if state is State.TAKING_PART:
            session = self._sessions.setdefault(client, Session(began=now, last=now))
            state = State.PAUSED if session.resting(now, self.terms) else state
        if state.exempt is not None or found is None:
            return Standing(exempt=state.exempt or State.INVITED.exempt)
        rehearsed, until = self._rehearsed.get(client, ("", 0.0))
        arm = rehearsed if now < until else found[0].arm or self._drawn.get(client)
        return Standing(Person(pseudonym=client, access=found[0].access, arm=arm))

    def record(self, record: TransferRecord) -> None:
        """Count a finished transfer's bytes and keep it for the person's own list."""
        client, now = record.client or "", self._now()
        found = self._people.get(client)
        if found is None:
            return
        self._turn_day(now)
        self._used[client] = self._used.get(client, 0) + record.size
        if len(self._entries) >= BACKLOG:
            self.dropped += 1
            return
        if found[0].arm is None and record.arm and record.arm != self._rehearsed.get(client, ("",))[0]:
            self._drawn.setdefault(client, record.arm)
        body = json.dumps({name: getattr(record, name) for name in SHOWN}, separators=(",", ":"))
        self._entries.append(Entry(found[0].id, Kind.TRANSFER, now, record.size, body))

    # From other threads

    def enrol(self, access: str | None = None, arm: str | None = None) -> tuple[str, Credential]:
        """Add a person; return their pseudonym and the credential, which cannot be shown again."""
        credential = Credential.new()
        digest = credential.digest(self._key)
        volunteer = Volunteer(secrets.token_hex(16), digest, self._now(), access=access, arm=arm)
        self._writer.do(lambda: self._save(volunteer))
        return self._pseudonyms.of(volunteer.id), credential

    def sign_in(self, token: str) -> str | None:
        """Return the pseudonym of whoever holds this invitation's token, or None, counted."""
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
            state=self._state(pseudonym, self._now()),
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
        _, consent = self._person(pseudonym)
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

    def set_arm(self, pseudonym: str, arm: str | None) -> None:
        """Hold the person to an arm, or None to have it drawn again."""
        self._change(pseudonym, lambda volunteer: replace(volunteer, arm=arm))

    def rehearse(self, pseudonym: str, arm: str, seconds: float = 120.0) -> None:
        """Let the person feel an arm for a while, in their own test. The arm they are in stays theirs."""
        self._person(pseudonym)
        self._rehearsed[pseudonym] = arm, self._now() + seconds

    def delete(self, pseudonym: str) -> None:
        """Forget the person and all that is theirs. Their credential is wrong from now on."""
        id_ = self._person(pseudonym)[0].id

        def forget() -> None:
            self._store.delete(id_)
            self._load()

        self._writer.do(forget)

    def keep_result(self, pseudonym: str, result: Mapping[str, object]) -> None:
        """Add a test page's result to the person's own list."""
        body = json.dumps(result, separators=(",", ":"))
        entry = Entry(self._person(pseudonym)[0].id, Kind.RESULT, self._now(), 0, body)
        self._writer.do(lambda: self._store.add([entry], self.terms.entries))

    def entries(self, pseudonym: str, kind: Kind = Kind.TRANSFER, limit: int = 100) -> list[dict[str, object]]:
        """Return the newest of a person's list, newest first."""
        id_ = self._person(pseudonym)[0].id

        def read() -> list[dict[str, object]]:
            self._flush()
            return [json.loads(entry.body) for entry in self._store.entries(id_, kind, limit)]

        return self._writer.do(read)

    def own_data(self, pseudonym: str) -> dict[str, object]:
        """Return everything kept about a person, ready for JSON."""
        id_ = self._person(pseudonym)[0].id
        return {
            "volunteer": asdict(self.member(pseudonym)),
            "consents": [asdict(consent) for consent in self._writer.do(lambda: self._store.consents(id_))],
            "transfers": self.entries(pseudonym, Kind.TRANSFER, self.terms.entries),
            "results": self.entries(pseudonym, Kind.RESULT, self.terms.entries),
        }

    def close(self) -> None:
        """Write what is waiting."""
        self._writer.close()
        self._store.close()

    # Within

    def _person(self, pseudonym: str) -> tuple[Volunteer, Consent | None]:
        try:
            return self._people[pseudonym]
        except KeyError:
            raise UnknownVolunteerError(pseudonym) from None

    def _paused_until(self, pseudonym: str, volunteer: Volunteer) -> float:
        session = self._sessions.get(pseudonym)
        return max(volunteer.paused_until, session.rests_until if session else 0.0)

    def _state(self, pseudonym: str, now: float) -> State:
        found = self._people.get(pseudonym)
        if found is None:
            return State.INVITED
        volunteer, consent = found
        self._turn_day(now)
        budget = self.terms.bytes_a_day
        over = budget is not None and self._used.get(pseudonym, 0) >= budget
        paused_until = self._paused_until(pseudonym, volunteer)
        return state_of(consent, self.texts, paused_until, over_budget=over, now=now)

    def _turn_day(self, now: float) -> None:
        if now // DAY != self._day:
            self._day, self._used = now // DAY, {}

    def _change(self, pseudonym: str, change: Callable[[Volunteer], Volunteer]) -> None:
        self._writer.do(lambda: self._save(change(self._person(pseudonym)[0])))

    def _agree(self, pseudonym: str, consent: Consent) -> None:
        def agree() -> None:
            self._store.save_consent(self._person(pseudonym)[0].id, consent)
            self._load()

        self._writer.do(agree)

    # In the writer thread

    def _save(self, volunteer: Volunteer) -> None:
        self._store.save(volunteer)
        self._load()

    def _load(self) -> None:
        """Read everybody anew. Whole dictionaries are swapped in, so a reader never sees half a change."""
        self._flush()
        people = {self._pseudonyms.of(person.id): (person, consent) for person, consent in self._store.load()}
        used = self._store.used(self._now())
        self._people = people
        self._holders = {person.credential: name for name, (person, _) in people.items()}
        self._used = {
            name: max(self._used.get(name, 0), used.get(person.id, 0)) for name, (person, _) in people.items()
        }

    def _flush(self) -> None:
        entries = [self._entries.popleft() for _ in range(len(self._entries))]
        if entries:
            self._store.add(entries, self.terms.entries)

    def _tick(self) -> None:
        self._flush()
        for client in tuple(self._drawn):
            if client in self._people:
                self._store.save(replace(self._people[client][0], arm=self._drawn[client]))
        if self._drawn or self._store.changed():
            self._load()
            self._drawn.clear()


def open_roster(
    database: Path,
    study: str,
    *,
    keys: Path | None = None,
    terms: Terms | None = None,
    texts: Collection[str] = (),
) -> Roster:
    """Open or make a study's roster. Its keys live in `keys`, by default a directory beside the database."""
    keys = keys or database.with_name(f"{database.stem}-keys")
    return Roster(
        SqliteStore(database, study),
        Pseudonyms.of_study(keys, study),
        private.ensure(keys / "credentials.key"),
        terms=terms,
        texts=texts,
    )

"""What the proxy knows of the study's people, in memory: who holds a credential, who takes part, who has had enough.

Called on the event loop, a few microseconds a call: it looks up and appends, never waits and never raises. Who is on
the roster is changed from the outside by swapping whole dictionaries, so a reader never sees half a change.
"""

import json
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from shaper.onboarding.budget import DAY, Session, Terms
from shaper.onboarding.consent import Consent
from shaper.onboarding.credentials import Credential
from shaper.onboarding.member import State, state_of
from shaper.onboarding.store import Entry, Volunteer
from shaper.policy.admission import Standing
from shaper.policy.verdict import Person, Reason
from shaper.record.transfer import TransferRecord

LATELY = 600.0  # seconds
SOON = 3 * DAY
BACKLOG = 50_000  # records waiting for the disk; more are dropped, and that is told
SHOWN = (  # of a record, in a person's own list
    "id", "time", "policy", "mode", "arm", "phase", "level", "direction", "target", "rule", "media", "evidence",
    "reason", "rate", "status", "outcome", "size", "client_ttfb", "duration", "held", "rate_ratio",
)  # fmt: skip


class Known(NamedTuple):
    """A person and the latest they agreed to."""

    volunteer: Volunteer
    consent: Consent | None


class Census(NamedTuple):
    """How many people have a consent that holds, were here lately, must be asked anew soon; by arm ("": none yet)."""

    joined: int
    active: int
    expiring: int
    arms: Mapping[str, int]


class Presence:
    """Implements `policy.admission.Registry` and `record.transfer.Recorder`.

    `texts` holds the digests of the consent texts in force, one a language; empty: any text will do.
    """

    def __init__(self, key: bytes, terms: Terms, texts: Collection[str], now: Callable[[], float]) -> None:
        self.terms = terms
        self.texts = frozenset(texts)
        self.dropped = 0  # records that found the backlog full, since that was last told
        self._key, self._now = key, now
        self._people: dict[str, Known] = {}  # by pseudonym
        self._holders: dict[bytes, str] = {}  # credential's digest -> pseudonym
        self._sessions: dict[str, Session] = {}
        self._drawn: dict[str, str] = {}  # arms that the policy drew, not yet in the store
        self._rehearsed: dict[str, tuple[str, float]] = {}  # the arm of a person's own test, and until when
        self._used: dict[str, int] = {}  # bytes since the beginning of ...
        self._day = now() // DAY
        self._entries: deque[Entry] = deque()  # for the disk

    def authenticate(self, username: str, password: str) -> str | None:
        """Return the pseudonym of whoever holds these credentials, or None."""
        return self._holders.get(Credential(username, password).digest(self._key))

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
        arm = rehearsed if now < until else found.volunteer.arm or self._drawn.get(client)
        return Standing(Person(pseudonym=client, access=found.volunteer.access, arm=arm))

    def exempt(self, client: str) -> Reason | None:
        """Return why a client is to be left alone now, if it is. Asking does not count as being here."""
        return self.state(client).exempt

    def known(self, client: str) -> bool:
        """Whether this pseudonym is still somebody's: a record of a deleted person is nobody's."""
        return client in self._people

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
        if found.volunteer.arm is None and record.arm and record.arm != self._rehearsed.get(client, ("",))[0]:
            self._drawn.setdefault(client, record.arm)
        body = json.dumps({name: getattr(record, name) for name in SHOWN}, separators=(",", ":"))
        self._entries.append(Entry(found.volunteer.id, now, record.size, body))

    def census(self) -> Census:
        """Count people for the metrics."""
        now, arms = self._now(), Counter[str]()
        joined = active = expiring = 0
        for name, (volunteer, consent) in tuple(self._people.items()):
            if consent is None or not consent.holds(now):
                continue
            session = self._sessions.get(name)
            joined += 1
            active += session is not None and now - session.last < LATELY
            expiring += consent.expires - now < SOON
            arms[volunteer.arm or self._drawn.get(name, "")] += 1
        return Census(joined, active, expiring, dict(arms))

    def state(self, client: str) -> State:
        """Return where somebody stands now."""
        return self._state(client, self._now())

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

"""What a study asks of each volunteer at most, so that taking part costs nobody their data plan or their day."""

from dataclasses import dataclass

HOUR = 3600.0
DAY = 24 * HOUR


@dataclass(frozen=True, slots=True)
class Terms:
    """The study's promise to every volunteer. The site states it; the roster keeps it. Times are seconds."""

    consent: float = 30 * DAY  # until a consent must be given anew
    keep: float = 90 * DAY  # until a person's own list is forgotten
    bytes_a_day: int | None = 2 * 10**9  # recorded a UTC day; beyond it traffic is left alone
    session: float = 4 * HOUR  # longest stretch of taking part ...
    rest: float = HOUR  # ... and the pause after it; a silence as long ends a stretch, too
    entries: int = 1000  # newest entries kept a person


@dataclass(slots=True)
class Session:
    """One stretch of taking part, then a rest. Told whenever the person is here; reads no clock."""

    began: float
    last: float
    rests_until: float = 0.0

    def resting(self, now: float, terms: Terms) -> bool:
        """Note that they are here, and tell whether the stretch has become too long, so that it is to be left alone."""
        if now < self.rests_until:
            return True
        if self.rests_until or now - self.last >= terms.rest:
            self.began, self.rests_until = now, 0.0
        self.last = now
        if now - self.began < terms.session:
            return False
        self.rests_until = now + terms.rest
        return True

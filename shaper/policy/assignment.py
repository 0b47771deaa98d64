"""Which arm a client is in, and whether a rollout reaches it: a keyed hash of its pseudonym, so it never changes.

Arm and rollout are drawn under separate labels and so are independent. A client's place in rollouts is one number:
whoever is within 20 % is within 50 %. An anonymous client has no arm and is reached by full rollouts only, because
nothing would keep it where it was.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum

from shaper.policy.verdict import Person

ANONYMOUS_PLACE = 1.0 - 2**-53  # the last there is


@dataclass(frozen=True, slots=True)
class Assignment:
    """The draw of one study under one secret key. The order of the arms does not matter."""

    key: bytes
    study: str
    arms: Mapping[str, float]

    def draw(self, person: Person) -> tuple[str, float]:
        """Return the client's arm, if any, and its place in rollouts: one reaches it if its share is larger."""
        arm, place = "", ANONYMOUS_PLACE
        if person.pseudonym is not None:
            arm = self._arm(self._fraction("arm", person.pseudonym))
            place = self._fraction("rollout", person.pseudonym)
        return arm if person.arm is None else person.arm, place

    def _arm(self, fraction: float) -> str:
        left, chosen = fraction * fsum(self.arms.values()), ""
        for chosen in sorted(self.arms):
            left -= self.arms[chosen]
            if left < 0:
                break
        return chosen

    def _fraction(self, label: str, pseudonym: str) -> float:
        message = "\0".join((self.study, label, pseudonym)).encode("utf-8", "surrogatepass")
        return (int.from_bytes(hmac.digest(self.key, message, "sha256")[:8]) >> 11) / 2**53

"""Which arm a client is in, and whether a rollout reaches it: a keyed hash of its pseudonym, so it never changes.

Arm and rollout are drawn under separate labels and so are independent. A client's place in rollouts is one number:
whoever is within 20 % is within 50 %. An anonymous client has no arm and is reached by full rollouts only, because
nothing would keep it where it was.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from shaper.policy.verdict import Person


@dataclass(frozen=True, slots=True)
class Assignment:
    """The draw of one study under one secret key. Order and common factor of the arms' weights do not matter."""

    key: bytes
    study: str
    arms: Mapping[str, float]

    def arm(self, person: Person) -> str:
        """Return the client's arm: the forced one, else the drawn one, or nothing."""
        if person.arm is not None or person.pseudonym is None or not self.arms:
            return person.arm or ""
        left = self._draw("arm", person.pseudonym) * sum(self.arms.values())
        for arm in sorted(self.arms):
            left -= self.arms[arm]
            if left < 0:
                break
        return arm

    def place(self, person: Person) -> float:
        """Return the client's place in rollouts, in [0, 1): a rollout reaches it if its share is larger."""
        return 1.0 - 2**-53 if person.pseudonym is None else self._draw("rollout", person.pseudonym)

    def _draw(self, label: str, pseudonym: str) -> float:
        message = "\0".join((self.study, label, pseudonym)).encode("utf-8", "surrogatepass")
        return (int.from_bytes(hmac.digest(self.key, message, "sha256")[:8]) >> 11) / 2**53

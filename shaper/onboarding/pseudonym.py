"""Names for people that say nothing about them: a keyed hash of a random id, under a key that a study has to itself.

The database holds ids and no pseudonyms; records and exports hold pseudonyms and no ids. Only the key links them. It
lives in a file of its own, one a study, so that the same person has unlinkable names in two studies, and deleting
the file cuts the link for good.
"""

import base64
import hmac
from dataclasses import dataclass
from pathlib import Path

from shaper.record import private


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """The pseudonyms of one study."""

    key: bytes

    @classmethod
    def of_study(cls, directory: Path, study: str) -> "Pseudonyms":
        """Load or make the study's key, `DIRECTORY/pseudonyms-STUDY.key`, readable by its owner only."""
        return cls(private.ensure(directory / f"pseudonyms-{study}.key"))

    @property
    def assignment_key(self) -> bytes:
        """The study's secret for drawing arms and rollouts, so that they stay as they are when the proxy restarts."""
        return hmac.digest(self.key, b"arms and rollouts", "sha256")

    def of(self, id_: str) -> str:
        """Return the pseudonym: 16 letters and digits, 80 bits, so that two people never share one in practice."""
        return base64.b32encode(hmac.digest(self.key, id_.encode(), "sha256")[:10]).decode().lower()

"""What a person agreed to, when, and until when. The text is named by its digest: a changed text is a new question."""

from dataclasses import dataclass
from hashlib import sha256


@dataclass(frozen=True, slots=True)
class Consent:
    """Times are Unix seconds. Withdrawn consents stay until the person's data are deleted."""

    text: str  # digest of the text that was shown
    language: str
    given: float
    expires: float
    withdrawn: float | None = None

    def holds(self, now: float) -> bool:
        """Whether the person takes part at this instant, as far as this consent goes."""
        return self.withdrawn is None and self.given <= now < self.expires


def text_digest(text: str) -> str:
    """Return the version of a consent text: `sha256:<64 hex digits>` over its UTF-8, line ends made alike."""
    return "sha256:" + sha256("\n".join(text.splitlines()).encode()).hexdigest()

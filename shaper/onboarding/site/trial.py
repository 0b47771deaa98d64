"""The test's plan: which pieces are loaded, and how long that takes under an arm."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from shaper.onboarding.site.study import Study, tightest
from shaper.policy.media import MediaClass

OVERHEAD = 1.0  # seconds for connections and the pauses between pieces

MEDIA = {"text": MediaClass.OTHER, "photo": MediaClass.IMAGE, "video": MediaClass.VIDEO}


type Kind = Literal["text", "photo", "video"]


@dataclass(frozen=True, slots=True)
class Piece:
    """One thing to load from the lab's origin."""

    kind: Kind
    path: str
    size: int  # bytes


def expected_time(study: Study, arm: str, pieces: Iterable[Piece]) -> float:
    """Return about how many seconds an arm takes, for the person to know before they press the button."""
    return OVERHEAD + sum(piece.size * 8 / rate for piece in pieces if (rate := _rate(study, arm, piece)))


def _rate(study: Study, arm: str, piece: Piece) -> float | None:
    rates = [
        rate
        for rule in study.slowing(arm or None)
        if (not rule.media or MEDIA[piece.kind] in rule.media) and (rate := tightest(rule))
    ]
    return min(rates, default=None)

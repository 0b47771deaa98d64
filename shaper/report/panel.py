"""A panel: the samples that belong side by side in one picture or row of a table, one media class under one probe."""

from collections.abc import Iterable
from dataclasses import dataclass

ORDER = ("page", "image", "video", "audio", "other", "upload")


@dataclass(frozen=True, slots=True, order=True)
class Panel:
    """What was fetched, and how."""

    place: int  # in the order of reading
    media: str
    probe: str

    def __str__(self) -> str:
        return f"{self.media} by {self.probe}" if self.probe else self.media


def panel(media: str, probe: str = "") -> Panel:
    """Return the panel of a media class under a probe."""
    return Panel(ORDER.index(media) if media in ORDER else len(ORDER), media, probe)


def in_order(panels: Iterable[Panel]) -> list[Panel]:
    """Return each panel once, in the order of reading."""
    return sorted(set(panels))

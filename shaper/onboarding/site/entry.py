"""One record as a person reads it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from markupsafe import Markup

from shaper.onboarding.site.wording import Wording
from shaper.policy.model import Level
from shaper.policy.verdict import Reason
from shaper.record.transfer import Outcome

LEAST_HELD = 0.001  # seconds; less is not worth a word


class Said(NamedTuple):
    """What the glass box shows of a record."""

    time: str  # RFC 3339
    clock: str  # the same for people, UTC
    said: Markup
    arm: str
    slowed: bool
    took: Markup
    held: Markup | None


def in_words(entry: Mapping[str, Any], t: Wording) -> Said:
    """Return an entry of the person's own list in words."""
    slowed, rate = entry["reason"] == Reason.MATCHED, entry["rate"]
    table = "connection" if entry["level"] == Level.CONNECTION else "record"
    form = "passed" if not slowed else "slowed" if rate else "held"
    said = t(
        f"{table}.{form}",
        media=t(f"record_media.{entry['media']}"),
        target=entry["target"],
        size=t.size(entry["size"]),
        rate=t.rate(rate) if rate else "",
    )
    if entry["outcome"] == Outcome.BLOCKED:
        said += " " + t("record.blocked")
    elif entry["outcome"] != Outcome.COMPLETE:
        said += " " + t("record.aborted")
    return Said(
        time=entry["time"],
        clock=entry["time"][:19].replace("T", " "),
        said=said,
        arm=entry["arm"],
        slowed=slowed,
        took=t.lasting(entry["duration"]),
        held=t.lasting(entry["held"]) if entry["held"] >= LEAST_HELD else None,
    )

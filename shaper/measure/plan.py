"""An experiment's plan, as frozen types: the shape that a plan file is read into. docs/measuring.md explains every key.

Whatever is wrong with a plan by itself is refused here, so that a run fails before its first sample or not at all.
"""

from functools import cached_property
from hashlib import sha256
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from shaper.policy.model import Model, Name
from shaper.policy.refused import RefusedError, shown
from shaper.policy.units import Period, Size

type Kind = Literal["h1", "h2", "chromium"]
type Media = Literal["image", "video", "audio", "other", "page", "upload"]

MOST_BLOCKS = 10_000


def _url(text: str) -> str:
    parts = urlsplit(text)
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or any(not c.isprintable() or c == " " for c in text)
    ):
        raise RefusedError(f"{shown(text)} is not a URL", "write one such as https://pbs.twimg.com/photo.jpg")
    return text


def _blocks(number: Any) -> int:
    if not isinstance(number, int) or not 1 <= number <= MOST_BLOCKS:
        raise RefusedError(f"{shown(number)} is no number of blocks", f"write one from 1 to {MOST_BLOCKS}")
    return number


class PlannedArm(Model):
    """One treatment."""

    name: Name
    """What samples call it."""
    description: str = ""
    """One line for people."""
    policy: str | None = None
    """A policy file, seen from the plan's own directory, or the name of a shipped policy. Without one, no proxy."""


class Probe(Model):
    """A client."""

    name: Name
    """What samples call it."""
    kind: Kind
    """`h1` and `h2` fetch single objects, each on a connection of its own; `chromium` loads pages."""


class Object(Model):
    """What is fetched."""

    name: Name
    """What samples call it; they name no URL."""
    url: Annotated[str, AfterValidator(_url)]
    """Where it is."""
    media: Media
    """`page` is for browsers; `upload` is sent to the URL; all else is fetched from it."""
    size: Size | None = None
    """Of an upload."""

    @property
    def host(self) -> str:
        """The host that it is on."""
        return urlsplit(self.url).hostname or ""

    @property
    def path(self) -> str:
        """The path, without the query."""
        return urlsplit(self.url).path or "/"

    @property
    def query(self) -> str:
        """The query."""
        return urlsplit(self.url).query

    def fits(self, probe: Probe) -> bool:
        """Tell whether this is for that probe."""
        return (probe.kind == "chromium") == (self.media == "page")

    @model_validator(mode="after")
    def _has_a_size_if_it_is_sent(self) -> Self:
        if (self.media == "upload") == (self.size is None):
            raise RefusedError("an upload has a size, and nothing else has", "write for example size: 60 kB", ("size",))
        return self


class Plan(Model):
    """Who is measured, with what, how often and in which order."""

    version: Literal[1]
    """The version of this format."""
    name: Name
    """The study's name."""
    description: str = ""
    """One line for people."""
    seed: Annotated[int, Field(ge=0)] = 1
    """Where the random numbers start that put the arms in order."""
    blocks: Annotated[int, AfterValidator(_blocks)] = 10
    """How often each object is measured under every arm, with every probe that it is for."""
    order: Literal["randomised", "latin-square"] = "randomised"
    """Of the arms within a block: drawn anew for each, or each arm at each place equally often."""
    washout: Period = 0.5
    """How long nothing is asked for after a sample."""
    timeout: Period = 60.0
    """How long a sample is watched; one that takes longer is kept as censored."""
    cache: Literal["cold", "warm"] = "cold"
    """Of the browser: empty, or with the same page loaded once before, unmeasured."""
    origin: Literal["lab", "real"] = "lab"
    """Who answers: the lab's own server under the names that the objects name, or the servers of these names."""
    arms: Annotated[tuple[PlannedArm, ...], Field(min_length=1)]
    """The treatments."""
    reference: Name
    """The arm that the others are compared with."""
    probes: Annotated[tuple[Probe, ...], Field(min_length=1)]
    """The clients."""
    objects: Annotated[tuple[Object, ...], Field(min_length=1)]
    """What they fetch."""

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Probe and object, where they fit each other."""
        return [(probe.name, each.name) for probe in self.probes for each in self.objects if each.fits(probe)]

    @property
    def hosts(self) -> list[str]:
        """The hosts that the objects are on."""
        return sorted({each.host for each in self.objects})

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the canonical JSON of the plan."""
        return "sha256:" + sha256(self.model_dump_json().encode()).hexdigest()

    @model_validator(mode="after")
    def _tells_its_parts_apart(self) -> Self:
        for kind in ("arms", "probes", "objects"):
            seen: set[str] = set()
            for index, part in enumerate(getattr(self, kind)):
                if part.name in seen:
                    raise RefusedError(f'another one is named "{part.name}"', "rename one", (kind, index, "name"))
                seen.add(part.name)
        return self

    @model_validator(mode="after")
    def _compares_with_an_arm(self) -> Self:
        names = [arm.name for arm in self.arms]
        if self.reference not in names:
            raise RefusedError(f'there is no arm "{self.reference}"', f"name one of {', '.join(names)}", ("reference",))
        return self

    @model_validator(mode="after")
    def _has_a_use_for_all(self) -> Self:
        for index, each in enumerate(self.objects):
            if not any(each.fits(probe) for probe in self.probes):
                remedy = "add a probe of kind chromium" if each.media == "page" else "add a probe of kind h1 or h2"
                raise RefusedError(f'no probe is for "{each.name}"', remedy, ("objects", index))
        for index, probe in enumerate(self.probes):
            if not any(each.fits(probe) for each in self.objects):
                remedy = "add a page" if probe.kind == "chromium" else "add an object that is no page"
                raise RefusedError(f'no object is for "{probe.name}"', remedy, ("probes", index))
        return self

"""An experiment's plan, as frozen types. docs/measuring.md explains every key."""

from functools import cached_property
from hashlib import sha256
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shaper.policy.model import Name
from shaper.policy.refused import RefusedError
from shaper.policy.units import Period

type Kind = Literal["h1", "h2", "chromium"]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class PlannedArm(Part):
    """One treatment: a policy file, a shipped policy by its study's name, or none for a direct connection."""

    name: Name
    description: str = ""
    policy: str | None = None


class Probe(Part):
    """A client: HTTP/1.1, HTTP/2, or real Chromium."""

    name: Name
    kind: Kind


class Object(Part):
    """What is fetched. Pages are for browsers, everything else for the other probes."""

    name: Name
    url: Annotated[str, Field(pattern=r"^https?://[^/\s]+(/\S*)?$")]
    media: Literal["image", "video", "audio", "other", "page"]

    @property
    def host(self) -> str:
        """The host that it is on."""
        return urlsplit(self.url).hostname or ""

    @property
    def target(self) -> str:
        """Path and query."""
        parts = urlsplit(self.url)
        return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


class Plan(Part):
    """Who is measured, with what, how often and in which order."""

    version: Literal[1]
    name: Name
    description: str = ""
    seed: int = 1
    blocks: Annotated[int, Field(ge=1, le=10_000)] = 10
    order: Literal["randomised", "latin-square"] = "randomised"
    washout: Period = 0.5
    timeout: Period = 60.0
    cache: Literal["cold", "warm"] = "cold"
    origin: Literal["lab", "real"] = "lab"
    arms: Annotated[tuple[PlannedArm, ...], Field(min_length=1)]
    reference: Name
    probes: Annotated[tuple[Probe, ...], Field(min_length=1)]
    objects: Annotated[tuple[Object, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        for what, parts in (("arm", self.arms), ("probe", self.probes), ("object", self.objects)):
            names = [part.name for part in parts]
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise RefusedError(f'two {what}s are named "{twice}"', "give each a name of its own", (f"{what}s",))
        if self.reference not in {arm.name for arm in self.arms}:
            raise RefusedError(f'"{self.reference}" is no arm', "name one of the arms", ("reference",))
        if not self.pairs:
            raise RefusedError("no probe fits any object", "pages need chromium, everything else h1 or h2", ("probes",))
        return self

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Probe and object, where they fit each other."""
        return [
            (probe.name, each.name)
            for probe in self.probes
            for each in self.objects
            if (probe.kind == "chromium") == (each.media == "page")
        ]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the canonical JSON of the plan."""
        return "sha256:" + sha256(self.model_dump_json().encode()).hexdigest()

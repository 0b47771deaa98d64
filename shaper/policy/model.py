"""The policy as frozen, validated types: the public contract that a policy file is read into.

Rates are bits per second, sizes bytes, durations seconds. Every key is explained in docs/policy.md, by test.
"""

from collections.abc import Iterable
from datetime import datetime
from difflib import get_close_matches
from enum import StrEnum
from functools import cached_property
from hashlib import sha256
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from shaper.pacing.limit import Limit, Manner, Scope
from shaper.policy.host import host_part, host_pattern
from shaper.policy.media import MediaClass
from shaper.policy.refused import RefusedError, shown
from shaper.policy.units import Duration, Moment, Period, Rate, Share, Size

type Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
type Weight = Annotated[float, Field(gt=0, le=1_000_000)]


class Level(StrEnum):
    """What a rule shapes: single responses by media class, or whole connections as opaque bytes."""

    MEDIA = "media"
    CONNECTION = "connection"


class Direction(StrEnum):
    """Seen from the client: `down` is towards it, `up` from it."""

    DOWN = "down"
    UP = "up"
    BOTH = "both"


class Access(StrEnum):
    """The kind of line a client is on; an attribute of the client, never inferred."""

    MOBILE = "mobile"
    FIXED = "fixed"


class Block(StrEnum):
    """The announced last step: refuse (an error response, or no connection) or reset (a cut connection)."""

    REFUSE = "refuse"
    RESET = "reset"


class Mode(StrEnum):
    """`enforce` delays; `shadow` computes what enforcing would have cost and delays nothing."""

    ENFORCE = "enforce"
    SHADOW = "shadow"


class Model(BaseModel):
    """A mapping of known keys. An unknown key is refused with the nearest known one."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    @model_validator(mode="before")
    @classmethod
    def _only_known_keys(cls, data: Any) -> Any:
        for key in data if isinstance(data, dict) else ():
            if key not in cls.model_fields:
                near = get_close_matches(str(key), cls.model_fields, n=1)
                remedy = f'did you mean "{near[0]}"?' if near else "the keys here are " + ", ".join(cls.model_fields)
                raise RefusedError(f"unknown key {shown(key)}", remedy, (key,))
        return data


class Contains(Model):
    """A host pattern that matches anywhere in the name, as Russia's `*t.co*` did. Lint shows what else it hits."""

    contains: Annotated[str, AfterValidator(host_part)]


type HostPattern = Annotated[
    Annotated[str, AfterValidator(host_pattern), Tag("text")] | Annotated[Contains, Tag("mapping")],
    Discriminator(lambda value: "mapping" if isinstance(value, dict | Contains) else "text"),
]


class Target(Model):
    """A named set of hosts: exact, `*.suffix` (subdomains only), or `{contains: text}`."""

    hosts: Annotated[tuple[HostPattern, ...], Field(min_length=1)]


class Cap(Model):
    """One bucket: whom it serves, how fast it fills, and how bytes over the rate are treated."""

    scope: Scope = Scope.RESPONSE
    rate: Rate
    burst: Size = 2048
    manner: Manner = Manner.SMOOTH
    window: Period = 1.0

    @model_validator(mode="after")
    def _only_what_the_manner_has(self) -> Self:
        if "window" in self.model_fields_set and self.manner is not Manner.WINDOW:
            raise RefusedError(f"manner {self.manner} has no window", "write manner: window", ("window",))
        if "burst" in self.model_fields_set and self.manner is Manner.WINDOW:
            raise RefusedError("a window is its own burst", "remove burst", ("burst",))
        return self

    @cached_property
    def limit(self) -> Limit:
        """The same law in bytes per second."""
        return Limit(self.scope, self.rate / 8, float(self.burst), self.manner, self.window)


class Latency(Model):
    """Delay added before a response's first byte, drawn once a response from a seeded generator."""

    distribution: Literal["constant", "uniform", "normal"] = "constant"
    mean: Duration
    jitter: Duration = 0.0  # uniform: half the width; normal: the standard deviation
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _jitter_fits(self) -> Self:
        if self.distribution == "constant" and self.jitter:
            raise RefusedError("constant latency has no jitter", "write distribution: uniform or normal", ("jitter",))
        if self.distribution == "uniform" and self.jitter > self.mean:
            raise RefusedError("jitter above the mean would mean negative delay", "lower the jitter", ("jitter",))
        return self


class Rule(Model):
    """First match wins. `target`, `media`, `direction`, `access`, `arms`, `phases`, `rollout` must all match."""

    name: Name
    target: Name
    level: Level = Level.MEDIA
    media: tuple[MediaClass, ...] = ()
    direction: Direction = Direction.DOWN
    access: tuple[Access, ...] = ()
    arms: tuple[Name, ...] = ()
    phases: tuple[Name, ...] = ()
    rollout: Share = 1.0
    caps: tuple[Cap, ...] = ()
    after: Size = 0
    freeze_after: Size | None = None
    latency: Latency | None = None
    block: Block | None = None

    @cached_property
    def limits(self) -> tuple[Limit, ...]:
        """The caps' limits from the narrowest scope to the widest."""
        order = list(Scope)
        return tuple(sorted((cap.limit for cap in self.caps), key=lambda limit: order.index(limit.scope)))

    @property
    def asks_for_something(self) -> bool:
        """Whether the rule does anything; one that does not is a control."""
        return bool(self.caps or self.latency or self.block) or self.freeze_after is not None

    @model_validator(mode="after")
    def _level_fits(self) -> Self:
        if self.level is Level.MEDIA:
            if not self.media:
                raise RefusedError("no media to slow", "write for example media: [image, video]")
            return self
        if self.media:
            raise RefusedError(
                "a connection carries every media class", "remove media, or write level: media", ("media",)
            )
        for index, cap in enumerate(self.caps):
            if cap.scope is Scope.RESPONSE:
                at = ("caps", index, "scope")
                raise RefusedError("responses cannot be told apart in a connection", "write scope: connection", at)
        return self

    @model_validator(mode="after")
    def _caps_fit(self) -> Self:
        if self.after and not self.caps:
            raise RefusedError("free first bytes need a cap that ends them", "add caps, or remove after", ("after",))
        for index, cap in enumerate(self.caps):
            if cap.manner is not Manner.POLICE:
                continue
            if len(self.caps) > 1:
                raise RefusedError("police stands alone", "keep one cap in this rule", ("caps", index))
            if cap.scope not in {Scope.RESPONSE, Scope.CONNECTION}:
                problem = "the kernel polices single connections"
                raise RefusedError(problem, "write scope: connection", ("caps", index, "scope"))
        return self


class Phase(Model):
    """A stretch of time, from `start` up to but not including `end`. A name may have several."""

    name: Name
    start: Moment
    end: Moment | None = None
    description: str = ""

    def holds(self, moment: datetime) -> bool:
        """Whether the phase is in force at this moment."""
        return self.start <= moment and (self.end is None or moment < self.end)

    def overlaps(self, other: "Phase") -> bool:
        """Whether some moment is in both."""
        return self.holds(other.start) or other.holds(self.start)

    @model_validator(mode="after")
    def _runs_forward(self) -> Self:
        if self.end is not None and self.end <= self.start:
            raise RefusedError("end is not after start", "write a later end", ("end",))
        return self


class Policy(Model):
    """One study's policy. Immutable: a reload swaps the whole of it."""

    version: Literal[1]
    study: Name
    description: str = ""
    sources: tuple[str, ...] = ()
    confidence: str = ""
    limits: tuple[str, ...] = ()
    mode: Mode = Mode.ENFORCE
    targets: Annotated[dict[Name, Target], Field(min_length=1)]
    never: tuple[HostPattern, ...] = ()
    arms: dict[Name, Weight] = {}
    phases: tuple[Phase, ...] = ()
    forget_after: Period = 600.0
    server_timing: bool = False
    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the canonical JSON of the policy, as `sha256:<64 hex digits>`."""
        return "sha256:" + sha256(self.model_dump_json().encode()).hexdigest()

    @model_validator(mode="after")
    def _rules_are_told_apart(self) -> Self:
        seen: set[str] = set()
        for index, rule in enumerate(self.rules):
            if rule.name in seen:
                raise RefusedError(f'another rule is named "{rule.name}"', "rename one", ("rules", index, "name"))
            seen.add(rule.name)
        return self

    @model_validator(mode="after")
    def _a_phase_is_in_force_once(self) -> Self:
        for index, phase in enumerate(self.phases):
            if any(phase.name == other.name and phase.overlaps(other) for other in self.phases[:index]):
                problem = f'it overlaps another stretch of "{phase.name}"'
                raise RefusedError(problem, "move start or end", ("phases", index, "start"))
        return self

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        phases = [phase.name for phase in self.phases]
        for index, rule in enumerate(self.rules):
            at: tuple[str | int, ...] = ("rules", index)
            _known("target", (rule.target,), self.targets, (*at, "target"))
            _known("arm", rule.arms, self.arms, (*at, "arms"))
            _known("phase", rule.phases, phases, (*at, "phases"))
        return self


def _known(kind: str, names: Iterable[str], known: Iterable[str], at: tuple[str | int, ...]) -> None:
    known = list(known)
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            remedy = f'did you mean "{near[0]}"?' if near else f"define it under {kind}s"
            raise RefusedError(f'there is no {kind} "{name}"', remedy, at)

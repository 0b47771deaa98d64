"""The policy as frozen, validated types: the public contract that a policy file is read into.

Rates are bits per second, sizes bytes, durations seconds, moments UTC. Whatever is wrong with a policy by itself is
refused here, so that no Policy exists that could not run. It is one file because a policy is one shape: each key is
explained where it stands (editors show that text, by `shaper schema`) and at more length in docs/policy.md.
"""

from collections.abc import Collection
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

NO_SHADOW = "what dropped packets cost is up to their sender, and cannot be computed"

type Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
type Weight = Annotated[float, Field(gt=0, le=1_000_000)]
type At = tuple[str | int, ...]


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

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _has_only_known_keys(cls, data: Any) -> Any:
        for key in data if isinstance(data, dict) else ():
            if key not in cls.model_fields:
                near = get_close_matches(str(key), cls.model_fields)
                remedy = f'did you mean "{near[0]}"?' if near else "the keys here are " + ", ".join(cls.model_fields)
                raise RefusedError(f"unknown key {shown(key)}", remedy, (key,))
        return data


class Contains(Model):
    """A host pattern that matches anywhere in the name, as Russia's `*t.co*` did. Lint shows what else it hits."""

    contains: Annotated[str, AfterValidator(host_part)]
    """Text that is part of the host name."""

    def __str__(self) -> str:
        """Return it as people write such patterns."""
        return f"*{self.contains}*"


type HostPattern = Annotated[
    Annotated[str, AfterValidator(host_pattern), Tag("text")] | Annotated[Contains, Tag("mapping")],
    Discriminator(lambda value: "mapping" if isinstance(value, dict | Contains) else "text"),
]


class Target(Model):
    """A named set of hosts."""

    hosts: Annotated[tuple[HostPattern, ...], Field(min_length=1)]
    """Exact names or addresses, `*.suffix` (its subdomains, not itself), or `{contains: text}`."""


class Cap(Model):
    """One bucket: whom it serves, how fast it fills, and how bytes over the rate are treated."""

    scope: Scope = Scope.RESPONSE
    """Who shares the bucket: each response, connection or client has its own, or all have one (aggregate)."""
    rate: Rate
    """Body bytes in a time, as in `150 kbit/s` or `250 kB/s`."""
    burst: Size = 2048
    """Bytes that pass at once after a pause; then the rate rules."""
    manner: Manner = Manner.SMOOTH
    """What becomes of bytes over the rate: `smooth` and `window` delay them, `police` drops packets."""
    window: Period = 1.0
    """With manner window: how often the whole allowance is given at once."""

    @cached_property
    def limit(self) -> Limit:
        """The same law in bytes per second."""
        return Limit(self.scope, self.rate / 8, float(self.burst), self.manner, self.window)

    @model_validator(mode="after")
    def _fits_its_manner(self) -> Self:
        if "window" in self.model_fields_set and self.manner is not Manner.WINDOW:
            raise RefusedError(f"manner {self.manner} has no window", "write manner: window", ("window",))
        if "burst" in self.model_fields_set and self.manner is Manner.WINDOW:
            raise RefusedError("a window is its own burst", "remove burst", ("burst",))
        if self.manner is Manner.POLICE and self.scope not in {Scope.RESPONSE, Scope.CONNECTION}:
            raise RefusedError("the kernel polices single connections", "write scope: connection", ("scope",))
        return self


class Latency(Model):
    """Delay added before a response's first byte, drawn once a response."""

    distribution: Literal["constant", "uniform", "normal"] = "constant"
    """How the delay varies from response to response. It never falls below zero."""
    mean: Duration
    """The delay, on average."""
    jitter: Duration = 0.0
    """Uniform: the largest distance from the mean. Normal: the standard deviation."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Where the random numbers start, so that a run can be repeated."""

    @model_validator(mode="after")
    def _jitter_fits(self) -> Self:
        if self.distribution == "constant" and self.jitter:
            raise RefusedError("constant latency has no jitter", "write distribution: uniform or normal", ("jitter",))
        if self.distribution == "uniform" and self.jitter > self.mean:
            raise RefusedError("jitter above the mean would be negative delay", "lower the jitter", ("jitter",))
        return self


class Rule(Model):
    """What is done to which messages of whom. Rules are tried in order; the first match wins."""

    name: Name
    """The rule's own name; it labels metrics and records."""
    target: Name
    """Which hosts: a name under `targets`."""
    level: Level = Level.MEDIA
    """Single responses by media class, or whole connections, never decrypted."""
    media: tuple[MediaClass, ...] = ()
    """At level media: the classes that are slowed."""
    direction: Direction = Direction.DOWN
    """Towards the client (down), from it (up), or both with a bucket each."""
    access: tuple[Access, ...] = ()
    """Only clients on these kinds of line; all when empty."""
    arms: tuple[Name, ...] = ()
    """Only clients in these arms; all when empty."""
    phases: tuple[Name, ...] = ()
    """Only while one of these phases is in force; always when empty."""
    rollout: Share = 1.0
    """The share of clients that the rule reaches, chosen by a keyed hash."""
    caps: tuple[Cap, ...] = ()
    """Buckets that every byte must pass; the tightest rules."""
    after: Size = 0
    """Free first bytes of each response (or connection): the caps count from there."""
    freeze_after: Size | None = None
    """So many bytes pass, then nothing more does."""
    latency: Latency | None = None
    """Delay before the first byte."""
    block: Block | None = None
    """Nothing passes: the request is refused, or the connection is cut."""

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
    def _fits_its_level(self) -> Self:
        if self.level is Level.MEDIA:
            if not self.media:
                raise RefusedError("no media to slow", "write for example media: [image, video]")
            return self
        if self.media:
            raise RefusedError("a connection carries all media", "remove media, or write level: media", ("media",))
        for index, cap in enumerate(self.caps):
            if cap.scope is Scope.RESPONSE:
                at: At = ("caps", index, *(("scope",) if "scope" in cap.model_fields_set else ()))
                raise RefusedError("no response can be told apart in a connection", "write scope: connection", at)
        return self

    @model_validator(mode="after")
    def _there_is_a_response_to_delay_or_block(self) -> Self:
        if self.latency and self.level is Level.CONNECTION:
            problem = "a connection has no response whose first byte could wait"
            raise RefusedError(problem, "remove latency, or write level: media", ("latency",))
        blocks_uploads = self.block and self.level is Level.MEDIA and self.direction is Direction.BOTH
        if blocks_uploads or ((self.latency or self.block) and self.direction is Direction.UP):
            problem = "an upload cannot be delayed or blocked by its response"
            raise RefusedError(problem, "write direction: down", ("direction",))
        return self

    @model_validator(mode="after")
    def _caps_fit_together(self) -> Self:
        for index, cap in enumerate(self.caps):
            if cap.manner is not Manner.POLICE:
                continue
            if len(self.caps) > 1:
                raise RefusedError("police allows no other cap beside it", "keep one cap", ("caps", index, "manner"))
            if self.after:
                raise RefusedError("police counts from the first packet on", "remove after", ("after",))
        if self.after and not self.caps:
            raise RefusedError("there is no cap for after to put off", "add caps, or remove after", ("after",))
        return self


class Phase(Model):
    """A stretch of time, from `start` up to but not including `end`. A name may have several."""

    name: Name
    """What rules call it."""
    start: Moment
    """The first moment, as in `2021-03-10T07:00Z`."""
    end: Moment | None = None
    """The first moment after it; open when absent."""
    description: str = ""
    """What happened."""

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
    """The version of this format."""
    study: Name
    """The study's name; it keeps pseudonyms and arms apart from other studies'."""
    description: str = ""
    """One line for people."""
    sources: tuple[str, ...] = ()
    """Where the facts behind the rules are published."""
    confidence: str = ""
    """How well those facts are known."""
    limits: tuple[str, ...] = ()
    """What a proxy cannot reproduce of the original."""
    mode: Mode = Mode.ENFORCE
    """Slow, or only compute what slowing would have cost."""
    targets: Annotated[dict[Name, Target], Field(min_length=1)]
    """Named sets of hosts. All other hosts are tunnelled and never decrypted."""
    never: tuple[HostPattern, ...] = ()
    """Hosts that are left alone even if a target lists them."""
    arms: dict[Name, Weight] = {}
    """The study's arms and their weights: clients are divided in this proportion."""
    phases: tuple[Phase, ...] = ()
    """Stretches of time that rules can name."""
    forget_after: Period = 600.0
    """A connection shaped as a whole that is silent for this long is shaped no more."""
    server_timing: bool = False
    """Tell the browser of the added delay in a Server-Timing field."""
    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]
    """What is done; the first rule that matches decides."""

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the canonical JSON of the policy, as `sha256:<64 hex digits>`."""
        return "sha256:" + sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def intercepted(self) -> tuple[str | Contains, ...]:
        """The hosts whose single responses rules are about: nobody can tell them apart without decrypting."""
        targets = dict.fromkeys(rule.target for rule in self.rules if rule.level is Level.MEDIA)
        return tuple(dict.fromkeys(host for name in targets for host in self.targets[name].hosts))

    @model_validator(mode="after")
    def _rules_are_told_apart(self) -> Self:
        seen: set[str] = set()
        for index, rule in enumerate(self.rules):
            if rule.name in seen:
                raise RefusedError(f'another rule is named "{rule.name}"', "rename one", ("rules", index, "name"))
            seen.add(rule.name)
        return self

    @property
    def polices(self) -> bool:
        """Whether a rule has the kernel drop packets."""
        return any(cap.manner is Manner.POLICE for rule in self.rules for cap in rule.caps)

    @model_validator(mode="after")
    def _a_shadow_drops_nothing(self) -> Self:
        if self.mode is Mode.SHADOW and self.polices:
            raise RefusedError(NO_SHADOW, "write manner: smooth or window in its caps", ("mode",))
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
            at: At = ("rules", index)
            _known("target", (rule.target,), self.targets, (*at, "target"))
            _known("arm", rule.arms, self.arms, (*at, "arms"))
            _known("phase", rule.phases, phases, (*at, "phases"))
        return self


def _known(kind: str, names: Collection[str], known: Collection[str], at: At) -> None:
    for name in names:
        if name not in known:
            near = get_close_matches(name, known)
            remedy = f'did you mean "{near[0]}"?' if near else f"define it under {kind}s"
            raise RefusedError(f'there is no {kind} "{name}"', remedy, at)

"""The policy as frozen, validated types: the public contract that a policy file is read into.

Rates are bits per second, sizes bytes, durations seconds. Every key is explained in docs/policy.md, by test.
"""

from enum import StrEnum
from functools import cached_property
from hashlib import sha256
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from shaper.pacing.limit import Limit, Manner, Scope
from shaper.policy.media import MediaClass
from shaper.policy.units import Duration, Moment, Period, Rate, Share, Size

type Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


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
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class Contains(Model):
    """A host pattern that matches anywhere in the name, as Russia's `*t.co*` did. Lint shows its collateral."""

    contains: Annotated[str, Field(min_length=1)]


class Target(Model):
    """A named set of hosts: exact, `*.suffix` (subdomains only), or `{contains: text}`."""

    hosts: Annotated[tuple[str | Contains, ...], Field(min_length=1)]


class Cap(Model):
    """One bucket: whom it serves, how fast it fills, and how bytes over the rate are treated."""

    scope: Scope = Scope.RESPONSE
    rate: Rate
    burst: Size = 2048
    manner: Manner = Manner.SMOOTH
    window: Period = 1.0

    @cached_property
    def limit(self) -> Limit:
        """The same law in bytes per second."""
        return Limit(self.scope, self.rate / 8, float(self.burst), self.manner, self.window)


class Latency(Model):
    """Delay added before a response's first byte, drawn once a response from a seeded generator."""

    distribution: Literal["constant", "uniform", "normal"] = "constant"
    mean: Duration
    jitter: Duration = 0.0
    seed: int = 0


class Rule(Model):
    """First match wins. `target`, `media`, `direction`, `access`, `arms`, `phases`, `rollout` must all hold."""

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


class Phase(Model):
    """A named stretch of time, from `start` up to but not including `end`; both need a UTC offset or Z."""

    name: Name
    start: Moment
    end: Moment | None = None
    description: str = ""


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
    never: tuple[str | Contains, ...] = ()
    arms: dict[Name, Annotated[float, Field(gt=0)]] = {}
    phases: tuple[Phase, ...] = ()
    forget_after: Period = 600.0
    server_timing: bool = False
    rules: tuple[Rule, ...]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the canonical JSON of the policy, as `sha256:<64 hex digits>`."""
        return "sha256:" + sha256(self.model_dump_json().encode()).hexdigest()

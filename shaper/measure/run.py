"""A run on disk: what was measured, under which conditions. docs/measuring.md explains every key.

    RUN/run.json         one `Conditions`: written before the first sample, `ended` added after the last
    RUN/samples.jsonl    one `Sample` a line, in the order of measurement, each on disk before the next begins
    RUN/journal*.jsonl   the proxies' own records, as `shaper run --journal` writes them
    RUN/certificate*.json  the calibration certificates that were in force, as `shaper calibrate` wrote them

A sample is what the client saw. It names no address and no URL: objects have the names that the plan gives them.
Samples of one `block` were measured back to back, one for each arm in random order, and are what is compared.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import from_json

CONDITIONS_SCHEMA = "shaper.run/1"
SAMPLE_SCHEMA = "shaper.sample/1"
CONDITIONS, SAMPLES, JOURNALS = "run.json", "samples.jsonl", "journal*.jsonl"

CUT = "the line is cut short; resume what was writing, or delete it"

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]


class RunError(Exception):
    """One line for people: place, subject, remedy."""


class Outcome(StrEnum):
    """How a sample ended. A timeout is censored: the transfer took longer than it was watched."""

    COMPLETE = "complete"
    TIMEOUT = "timeout"
    ERROR = "error"


class ReadEvent(NamedTuple):
    """One read, as OONI's network events name it: waited for since `t0`, done at `t`, seconds since the request."""

    t0: float
    t: float
    num_bytes: Count  # of the body


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What the policy did to this transfer, to score detectors with. `manner` is none, smooth, window or police."""

    __pydantic_config__ = STRICT

    manner: str
    rate: float | None = None  # bit/s
    burst: int | None = None  # bytes
    scope: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTiming:
    """One entry of a Server-Timing field, as the page could read it."""

    __pydantic_config__ = STRICT

    name: str
    duration: float | None = None  # seconds
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One resource of a page, by Resource Timing; seconds since navigation began."""

    __pydantic_config__ = STRICT

    name: str
    media: str
    start: float
    response: float | None = None  # first byte of the response
    end: float | None = None  # None: not complete when the page was left
    size: int = 0
    protocol: str = ""
    server_timing: tuple[ServerTiming, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Browser:
    """What a browser measured of one page load: seconds since navigation began, None where it did not happen."""

    __pydantic_config__ = STRICT

    load: float | None = None
    interactive: float | None = None
    lcp: float | None = None
    images: int = 0  # that the page has
    images_complete: Mapping[str, float] | None = None  # share of them after "5", "10", "30" seconds
    video_join: float | None = None
    rebuffer: float | None = None  # seconds that the video stood still after it had begun
    switches: int | None = None
    resources: tuple[Resource, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One object or page, fetched once. `t0` is the instant the request was sent (for a page: navigation began)."""

    __pydantic_config__ = STRICT

    schema: str = SAMPLE_SCHEMA
    id: str  # unique in the run: a resumed run skips those it has
    block: str
    order: int  # place within the block
    arm: str
    probe: str  # as the plan names it
    object: str  # as the plan names it
    media: str  # image, video, audio, other; page for a page load
    protocol: str = ""  # as negotiated: h1, h2, h3
    started: str  # t0, RFC 3339 UTC
    outcome: Outcome
    status: int = 0
    error: str = ""
    timeout: Seconds  # the limit, in seconds
    duration: Seconds  # t0 → last byte, or until it was given up
    handshake: Seconds | None = None  # connect and TLS, before t0; None on a connection that was open
    ttfb: Seconds | None = None  # t0 → first body byte
    expected: Count | None = None  # bytes of the object
    received: Count = 0
    intact: bool | None = None  # SHA-256 as expected; None when it is not known
    reads: tuple[ReadEvent, ...] = ()
    transfer: str | None = None  # id of the proxy's own record
    records: Count = 0  # lines of its arm's journal that are its own, in the order of the samples
    truth: Truth | None = None
    browser: Browser | None = None

    @property
    def line(self) -> tuple[tuple[float, int], ...]:
        """The body bytes against time."""
        return tuple((read.t, read.num_bytes) for read in self.reads)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One treatment: the policy in force and the certificate that it was measured under."""

    __pydantic_config__ = STRICT

    name: str
    description: str = ""
    policy: str | None = None  # digest; None: no proxy
    certificate: str | None = None  # digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Under which conditions a run was made."""

    __pydantic_config__ = STRICT

    schema: str = CONDITIONS_SCHEMA
    name: str
    plan: str  # digest
    seed: int
    started: str  # RFC 3339 UTC
    ended: str | None = None  # None: under way, or interrupted
    arms: tuple[Arm, ...]
    reference: str  # the arm that the others are compared with
    probes: tuple[str, ...]
    versions: Mapping[str, str]
    machine: Mapping[str, str]
    clock: Mapping[str, str]


samples = TypeAdapter(Sample)
conditions = TypeAdapter(Conditions)


@dataclass(frozen=True, slots=True)
class Run:
    """A run directory that was opened: its conditions are read, its samples are read as they are asked for."""

    path: Path
    conditions: Conditions

    @classmethod
    def open(cls, path: Path) -> "Run":
        """Read the conditions, or raise RunError in one line."""
        file = path / CONDITIONS
        try:
            return cls(path, _parse(conditions, CONDITIONS_SCHEMA, file.read_bytes()))
        except OSError as error:
            raise RunError(f"{file}: {error.strerror}; name a directory that `shaper measure` wrote") from None
        except ValueError as error:
            raise RunError(f"{file}: not a run's conditions: {error}") from None

    @property
    def journals(self) -> list[Path]:
        """The proxies' journals, in the order of their names."""
        return sorted(self.path.glob(JOURNALS))

    def samples(self) -> Iterator[Sample]:
        """Yield the samples. A line of anything else, half a line, or a sample again raises RunError in one line."""
        file, seen = self.path / SAMPLES, set[str]()
        try:
            with file.open("rb") as lines:
                for number, line in zip(count(1), lines, strict=False):
                    try:
                        sample = parse_sample(line)
                    except ValueError as error:
                        raise RunError(f"{file}:{number}: not a sample: {error}") from None
                    if sample.id in seen:
                        raise RunError(
                            f'{file}:{number}: sample "{sample.id}" is there twice; keep one of the two lines'
                        )
                    seen.add(sample.id)
                    yield sample
        except OSError as error:
            raise RunError(f"{file}: {error.strerror}; name a directory that `shaper measure` wrote") from None


def parse_sample(line: bytes) -> Sample:
    """Return the sample that a line holds, or raise ValueError with the reason in one line."""
    if not line.endswith(b"\n"):
        raise ValueError(CUT)
    return _parse(samples, SAMPLE_SCHEMA, line)


def encode_sample(sample: Sample) -> bytes:
    """Return the sample as its line."""
    return samples.dump_json(sample) + b"\n"


def _parse[T](codec: TypeAdapter[T], schema: str, text: bytes) -> T:
    raw = from_json(text, allow_inf_nan=False)
    if not isinstance(raw, dict) or raw.get("schema") != schema:
        raise ValueError(f'it does not say "schema": "{schema}"')
    try:
        return codec.validate_json(text, strict=True)
    except ValidationError as error:
        raise ValueError(first_fault(error)) from None


def first_fault(error: ValidationError) -> str:
    """Return the first thing that is wrong with a record, in one line that begins with its place."""
    first = error.errors(include_url=False)[0]
    return ": ".join(part for part in (".".join(map(str, first["loc"])), first["msg"]) if part)

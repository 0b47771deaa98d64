"""What a request may ask of the origin in its query, on any resource: how to send, how slowly, and when to break off.

`?chunk=512&rate=1 Mbit/s` sends 512 bytes at a time at that rate; `?stall_after=1000` falls silent; `?abort_after=1000`
breaks off. Sizes here are bytes, delays seconds; a rate needs a unit.
"""

from collections.abc import Mapping
from math import inf
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from shaper.lab.exchange import Framing
from shaper.policy.units import Rate

DAY = 86400.0


class Knobs(BaseModel):
    """The query, read. Names that are no knob are free, for a test to tell its requests apart."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    size: NonNegativeInt = 0  # of /bytes
    count: NonNegativeInt = 3  # of /events
    every: NonNegativeFloat = 0.1  # seconds between two of /events
    status: int = Field(default=200, ge=200, le=599)
    type: str | None = None  # content type; empty: none is sent
    encoding: Literal["", "gzip"] = ""
    framing: Framing = Framing.LENGTH
    trailers: bool = False  # a Content-Digest after the body, unless its length is announced over HTTP/1.1
    chunk: PositiveInt = 64 * 1024  # bytes a write: a chunk or at most a DATA frame
    rate: Rate = inf
    delay: NonNegativeFloat = 0  # seconds before the headers
    stall_after: NonNegativeInt | None = None  # bytes before the silence
    stall: NonNegativeFloat = DAY  # seconds of it
    abort_after: NonNegativeInt | None = None  # bytes before the break

    @property
    def piece(self) -> int:
        """Bytes a write: `chunk`, but at most 20 ms of the rate."""
        return max(1, int(min(self.chunk, 0.02 * self.rate / 8)))


def read_knobs(query: Mapping[str, str]) -> Knobs:
    """Return what a query asks for; raise ValueError when a value makes no sense."""
    return Knobs.model_validate(query)

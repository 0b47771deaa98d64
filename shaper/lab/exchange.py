"""One request that the origin received and the response it is giving, whatever the protocol underneath.

What a site writes here is counted as it is handed to the connection, so a test can see how far ahead of its client a
proxy reads, and when the origin learnt that nobody wants the rest. Instants are `time.monotonic()`.
"""

from abc import ABC, abstractmethod
from asyncio import Queue
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from time import monotonic
from urllib.parse import parse_qsl, urlsplit

type Headers = Sequence[tuple[str, str]]


class Framing(StrEnum):
    """How a response says where its body ends. HTTP/2 has its own way and knows only whether the length is given."""

    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"  # the body is read until the connection ends


@dataclass(frozen=True)
class Request:
    """What was asked. Header names are lower-case."""

    method: str
    host: str
    target: str
    headers: Headers
    protocol: str  # h1 or h2
    connection: int  # which connection to this origin, counted from 1

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @cached_property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    def header(self, name: str) -> str:
        """Return the first value of a header, or nothing."""
        return next((value for key, value in self.headers if key == name), "")


class Exchange(ABC):
    """A request, its body, and the response under way."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.started = monotonic()
        self.sent = 0  # body bytes handed to the connection
        self.ended: float | None = None  # all that was asked for was handed over, or broken off as asked
        self.aborted: float | None = None  # the client left, or reset the stream, before that
        self._incoming: Queue[bytes | None] = Queue()

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the request's body as it comes in."""
        while (data := await self._incoming.get()) is not None:
            yield data
            self.took(len(data))

    def feed(self, data: bytes | None) -> None:
        """Take a piece of the request's body, or its end, from the connection."""
        self._incoming.put_nowait(data)

    def took(self, size: int) -> None:
        """Note that `size` bytes of the request's body were used; HTTP/2 then lets as many follow."""
        _ = size

    def lost(self) -> None:
        """Note that the client is gone."""
        if self.ended is None and self.aborted is None:
            self.aborted = monotonic()

    async def end(self, trailers: Headers = ()) -> None:
        """Complete the response."""
        await self.finish(trailers)
        self.ended = monotonic()

    def cut(self) -> None:
        """Break off: reset the stream in HTTP/2, end the connection in HTTP/1."""
        self.ended = monotonic()
        self.reset()

    @abstractmethod
    async def start(self, status: int, headers: Headers, framing: Framing = Framing.LENGTH) -> None:
        """Send the response's headers."""

    @abstractmethod
    async def send(self, data: bytes) -> None:
        """Hand over body bytes as the connection takes them, and count them in `sent`."""

    @abstractmethod
    async def finish(self, trailers: Headers) -> None:
        """Hand over the end of the response."""

    @abstractmethod
    def reset(self) -> None:
        """Make the client see that the response is not complete."""


type Site = Callable[[Exchange], Awaitable[None]]

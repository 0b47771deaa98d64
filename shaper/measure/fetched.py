"""What a client saw of one response: read by read, to the hash of its body. It knows nothing of any shaping.

Times are seconds since the request was sent, by the monotonic clock, taken when the event loop read the socket.
`run.Sample` is what an experiment keeps of this on disk.
"""

from asyncio import Future, get_running_loop
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from math import inf
from typing import NamedTuple

from shaper.measure.run import Outcome

type Headers = Sequence[tuple[str, str]]
type Watch = Callable[[int, float], object]


class Read(NamedTuple):
    """One read of the socket, named as in OONI's read events: begun at t0, ended at t, with so many body bytes."""

    t0: float
    t: float
    num_bytes: int


@dataclass(frozen=True, slots=True)
class Appetite:
    """How a client takes a response; by default as it comes.

    An h2 client that stalls opens the stream's window no more, so what fits into that still comes; an h1 client
    reads the socket no more, so what fits into the kernel's buffers is still sent.
    """

    stall_after: int | None = None  # body bytes, then nothing is taken
    stall: float = inf  # for so many seconds
    leave_after: int | None = None  # body bytes, then the client is gone


EAGER = Appetite()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """One response. A timeout is censored: `duration` is then how long it was watched, and not how long it took."""

    url: str
    outcome: Outcome
    error: str = ""  # why it is not complete
    protocol: str = ""  # h1 or h2, as negotiated
    handshake: float | None = None  # connect, CONNECT and TLS, before the request; None: the connection was there
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case
    trailers: Mapping[str, str] = field(default_factory=dict)
    answered: float | None = None  # until the response's headers
    ttfb: float | None = None  # until the first body byte, or the end of a body without any
    duration: float
    size: int = 0
    sha256: str = ""  # of the body as it was sent, so before any content coding is undone
    reads: tuple[Read, ...] = ()

    @property
    def line(self) -> tuple[tuple[float, int], ...]:
        """The body bytes against time, for shaper.measure.line."""
        return tuple((read.t, read.num_bytes) for read in self.reads)


class Receipt:
    """A response while it comes in. Instants are given; the first call that ends it decides, later ones are ignored."""

    def __init__(
        self,
        url: str,
        started: float,
        *,
        protocol: str = "",
        handshake: float | None = None,
        appetite: Appetite = EAGER,
        watch: Watch | None = None,
    ) -> None:
        self.appetite = appetite
        self.size = 0
        self.done: Future[Fetched] = get_running_loop().create_future()
        self._url, self._protocol, self._handshake, self._started = url, protocol, handshake, started
        self._watch = watch
        self._status = 0
        self._headers: dict[str, str] = {}
        self._trailers: dict[str, str] = {}
        self._answered: float | None = None
        self._reads: list[Read] = []
        self._hash = sha256()
        self._stalled = False

    @property
    def full(self) -> bool:
        """Whether the client has all it wants and is to leave."""
        return self.appetite.leave_after is not None and self.size >= self.appetite.leave_after

    def stalls(self) -> bool:
        """Say once, when it comes to that, that the client takes no more for now."""
        after = self.appetite.stall_after
        if self._stalled or after is None or self.size < after:
            return False
        self._stalled = True
        return True

    def head(self, status: int, headers: Headers, now: float) -> None:
        """Take the response's headers."""
        self._status, self._answered = status, now - self._started
        self._headers = _joined(headers)

    def data(self, data: bytes, since: float, now: float) -> None:
        """Take body bytes that the read from `since` to `now` brought."""
        self.size += len(data)
        self._hash.update(data)
        if self._watch:
            self._watch(len(data), now)
        begun, ended = max(since - self._started, 0.0), now - self._started
        if self._reads and self._reads[-1].t == ended:
            self._reads[-1] = self._reads[-1]._replace(num_bytes=self._reads[-1].num_bytes + len(data))
        elif data:
            self._reads.append(Read(begun, ended, len(data)))

    def trail(self, trailers: Headers) -> None:
        """Take the trailers."""
        self._trailers = _joined(trailers)

    def end(self, now: float, outcome: Outcome = Outcome.COMPLETE, error: str = "") -> None:
        """Close the account."""
        if self.done.done():
            return
        duration = now - self._started
        complete = outcome is Outcome.COMPLETE
        self.done.set_result(
            Fetched(
                url=self._url,
                outcome=outcome,
                error=error,
                protocol=self._protocol,
                handshake=self._handshake,
                status=self._status,
                headers=self._headers,
                trailers=self._trailers,
                answered=self._answered,
                ttfb=self._reads[0].t if self._reads else duration if complete else None,
                duration=duration,
                size=self.size,
                sha256=self._hash.hexdigest(),
                reads=tuple(self._reads),
            )
        )


def _joined(headers: Headers) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in headers:
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined

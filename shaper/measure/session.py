"""A connection that carries requests, and what all such connections have in common."""

import asyncio
from abc import ABC, abstractmethod
from time import monotonic
from typing import Self
from urllib.parse import SplitResult, urlunsplit

from shaper.measure.fetched import EAGER, Appetite, Fetched, Headers, Receipt, Watch
from shaper.measure.run import Outcome
from shaper.measure.wire import Way, Wire

TIMEOUT = 60.0


class Session(ABC):
    """One open connection to one origin. Requests never raise: what goes wrong is in what was fetched."""

    protocol: str

    def __init__(self, url: SplitResult, way: Way, wire: Wire, handshake: float) -> None:
        self.url, self.way, self.wire = url, way, wire
        self.handshake: float | None = handshake
        self.read_at = monotonic()  # when the socket was last read

    async def request(
        self,
        target: str,
        *,
        method: str = "GET",
        headers: Headers = (),
        body: bytes = b"",
        timeout: float = TIMEOUT,  # noqa: ASYNC109, a timeout is an outcome here and not an error
        appetite: Appetite = EAGER,
        watch: Watch | None = None,
    ) -> Fetched:
        """Ask for a path (with its query) and return what came. `watch` is told size and instant of every read."""
        url = urlunsplit((self.url.scheme, self.url.netloc, target, "", ""))
        receipt = Receipt(
            url, monotonic(), protocol=self.protocol, handshake=self.handshake, appetite=appetite, watch=watch
        )
        self.handshake = None
        try:
            async with asyncio.timeout(timeout):
                await self.ask(receipt, method, target, headers, body)
                return await asyncio.shield(receipt.done)
        except TimeoutError:
            receipt.end(monotonic(), Outcome.TIMEOUT, f"not complete after {timeout:g} s")
        except asyncio.CancelledError:
            self.leave(receipt)
            raise
        self.leave(receipt)
        return await receipt.done

    async def close(self) -> None:
        """Close the connection."""
        self.wire.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def start(self) -> None:
        """Take what comes in from now on."""
        self.wire.attach(self._receive, self.lost)

    def _receive(self, data: bytes, now: float) -> None:
        self.receive(data, self.read_at, now)
        self.read_at = now

    @abstractmethod
    async def ask(self, receipt: Receipt, method: str, target: str, headers: Headers, body: bytes) -> None:
        """Send the request as soon as this connection can."""

    @abstractmethod
    def leave(self, receipt: Receipt) -> None:
        """Make it plain to the peer that the rest of this response is not wanted."""

    @abstractmethod
    def receive(self, data: bytes, since: float, now: float) -> None:
        """Take what the read from `since` to `now` brought."""

    @abstractmethod
    def lost(self, error: Exception | None, now: float) -> None:
        """Take note that the connection ended."""

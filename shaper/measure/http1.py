"""HTTP/1.1 as a client, on h11: one request after another on a connection that is kept."""

import asyncio
from math import isfinite
from urllib.parse import SplitResult, urlunsplit

import h11

from shaper.measure.fetched import Headers, Receipt
from shaper.measure.run import Outcome
from shaper.measure.session import Session
from shaper.measure.wire import Way, Wire


class H1Session(Session):
    """Requests wait for their turn."""

    protocol = "h1"

    def __init__(self, url: SplitResult, way: Way, wire: Wire, handshake: float) -> None:
        super().__init__(url, way, wire, handshake)
        self._parser = h11.Connection(h11.CLIENT)
        self._receipt: Receipt | None = None
        self._turn = asyncio.Lock()

    async def ask(self, receipt: Receipt, method: str, target: str, headers: Headers, body: bytes) -> None:
        async with self._turn:
            if not self.wire.open or self._parser.our_state is not h11.IDLE:
                receipt.end(self.read_at, Outcome.ERROR, "the connection is closed")
                return
            self._receipt = receipt
            extra = [("content-length", str(len(body)))] if body else []
            if self.way.proxy and self.url.scheme == "http":
                target = urlunsplit((self.url.scheme, self.url.netloc, target, "", ""))
                extra += self.way.credentials
            request = h11.Request(method=method, target=target, headers=[("host", self.url.netloc), *headers, *extra])
            for event in (request, *([h11.Data(data=body)] if body else []), h11.EndOfMessage()):
                self.wire.transport.write(self._parser.send(event) or b"")
            await asyncio.shield(receipt.done)

    def leave(self, receipt: Receipt) -> None:
        if receipt is self._receipt:
            self.wire.close()

    def receive(self, data: bytes, since: float, now: float) -> None:
        try:
            self._parser.receive_data(data)
            while self._take(since, now):
                pass
        except h11.RemoteProtocolError as error:
            self._end(now, Outcome.ERROR, str(error))
            self.wire.close()

    def lost(self, error: Exception | None, now: float) -> None:
        if error:
            self._end(now, Outcome.ERROR, f"{type(error).__name__}: {error}")
        else:
            self.receive(b"", self.read_at, now)
            self._end(now, Outcome.ERROR, "the connection was closed")

    def _take(self, since: float, now: float) -> bool:
        """Take one event; False when there is none."""
        receipt = self._receipt
        if receipt is None:
            return False
        match self._parser.next_event():
            case h11.Response() as response:
                receipt.head(response.status_code, _text(response.headers), now)
            case h11.Data(data=data):
                self._eat(receipt, bytes(data), since, now)
            case h11.EndOfMessage(headers=trailers):
                receipt.trail(_text(trailers))
                self._end(now)
                if self._parser.our_state is h11.DONE:
                    self._parser.start_next_cycle()
            case h11.InformationalResponse():
                pass
            case _:
                return False
        return True

    def _eat(self, receipt: Receipt, data: bytes, since: float, now: float) -> None:
        receipt.data(data, since, now)
        if receipt.full:
            self._end(now, Outcome.ERROR, f"left after {receipt.size} bytes")
            self.wire.close()
        elif receipt.stalls():
            self.wire.transport.pause_reading()
            if isfinite(receipt.appetite.stall):
                asyncio.get_running_loop().call_later(receipt.appetite.stall, self._resume)

    def _resume(self) -> None:
        if self.wire.open:
            self.wire.transport.resume_reading()

    def _end(self, now: float, outcome: Outcome = Outcome.COMPLETE, error: str = "") -> None:
        if self._receipt:
            self._receipt.end(now, outcome, error)
            self._receipt = None


def _text(headers: object) -> Headers:
    assert hasattr(headers, "__iter__")
    return [(name.decode(), value.decode("latin-1")) for name, value in headers]

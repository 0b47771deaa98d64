"""One HTTP/1.1 connection to the origin, on h11: bytes in, one exchange at a time, keep-alive and pipelining.

The connection is read all the time, so that a client that leaves is noticed while its response waits.
"""

from asyncio import Task, create_task
from asyncio.streams import StreamWriter
from collections.abc import Callable

import h11

from shaper.lab.exchange import Exchange, Framing, Headers, Request, Site
from shaper.lab.websocket import Echo


class Http1:
    """Feeds an h11 parser and starts a task for each request."""

    def __init__(self, writer: StreamWriter, site: Site, number: int, see: Callable[[Exchange], None]) -> None:
        self._writer, self._site, self._number, self._see = writer, site, number, see
        self._parser = h11.Connection(h11.SERVER)
        self._exchange: Http1Exchange | None = None
        self._task: Task[None] | None = None
        self._echo: Echo | None = None

    def receive(self, data: bytes) -> None:
        """Take bytes that came from the client."""
        if self._echo:
            self._echo.receive(data)
            return
        try:
            self._parser.receive_data(data)
            self._advance()
        except h11.RemoteProtocolError:
            self._writer.close()

    def lost(self) -> None:
        """Give up what is under way: the client is gone."""
        if self._exchange:
            self._exchange.lost()
        if self._task:
            self._task.cancel()

    def _advance(self) -> None:
        while True:
            match self._parser.next_event():
                case h11.Request() as request:
                    self._begin(request)
                case h11.Data(data=data) if self._exchange:
                    self._exchange.feed(bytes(data))
                case h11.EndOfMessage() if self._exchange:
                    self._exchange.feed(None)
                    self._turn()
                case _:
                    return

    def _begin(self, event: h11.Request) -> None:
        headers = [(name.decode(), value.decode("latin-1")) for name, value in event.headers]
        host = next((value for name, value in headers if name == "host"), "")
        request = Request(event.method.decode(), host, event.target.decode(), headers, "h1", self._number)
        self._exchange = exchange = Http1Exchange(request, self._parser, self._writer)
        self._see(exchange)
        if request.header("upgrade").lower() == "websocket":
            self._echo = Echo(self._writer, request)
            return
        if self._parser.they_are_waiting_for_100_continue:
            self._writer.write(self._parser.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
        self._task = create_task(self._serve(exchange))

    async def _serve(self, exchange: "Http1Exchange") -> None:
        try:
            await self._site(exchange)
        except ConnectionError:
            exchange.lost()
        self._turn()

    def _turn(self) -> None:
        """Go on to the next request when both sides are done with this one, or close."""
        ours, theirs = self._parser.our_state, self._parser.their_state
        if ours is h11.DONE and theirs is h11.DONE:
            self._parser.start_next_cycle()
            self._exchange = None
            self._advance()
        elif ours in (h11.MUST_CLOSE, h11.CLOSED, h11.ERROR):
            self._writer.close()


class Http1Exchange(Exchange):
    """The response is framed by h11, except when the end of the connection is its end: h11 then has no say."""

    def __init__(self, request: Request, parser: h11.Connection, writer: StreamWriter) -> None:
        super().__init__(request)
        self._parser, self._writer = parser, writer
        self._until_close = False

    async def start(self, status: int, headers: Headers, framing: Framing = Framing.LENGTH) -> None:
        if framing is Framing.CLOSE and self.request.method != "HEAD":
            self._until_close = True
            head = "".join(f"{name}: {value}\r\n" for name, value in [*headers, ("connection", "close")])
            self._writer.write(f"HTTP/1.1 {status} \r\n{head}\r\n".encode("latin-1"))
        else:
            self._say(h11.Response(status_code=status, headers=list(headers)))
        await self._writer.drain()

    async def send(self, data: bytes) -> None:
        if self._until_close:
            self._writer.write(data)
        else:
            self._say(h11.Data(data=data))
        self.sent += len(data)
        await self._writer.drain()

    async def finish(self, trailers: Headers) -> None:
        if self._until_close:
            self._writer.close()
        else:
            self._say(h11.EndOfMessage(headers=list(trailers)))
            await self._writer.drain()

    def reset(self) -> None:
        self._writer.close()

    def _say(self, event: h11.Event) -> None:
        self._writer.write(self._parser.send(event) or b"")

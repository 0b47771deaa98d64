"""A WebSocket that says back what it is told: the kind of response that must never be shaped."""

from asyncio.streams import StreamWriter

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Event, Message, Ping
from wsproto.events import Request as Opening

from shaper.lab.exchange import Request


class Echo:
    """Takes over a connection whose HTTP/1.1 request asked for it."""

    def __init__(self, writer: StreamWriter, request: Request) -> None:
        self._writer = writer
        self._socket = WSConnection(ConnectionType.SERVER)
        self._socket.initiate_upgrade_connection(
            [(name.encode(), value.encode("latin-1")) for name, value in request.headers], request.target
        )
        self._answer()

    def receive(self, data: bytes) -> None:
        """Take bytes that came from the client."""
        self._socket.receive_data(data)
        self._answer()

    def _answer(self) -> None:
        for event in self._socket.events():
            match event:
                case Opening():
                    self._say(AcceptConnection())
                case Message() | Ping():
                    self._say(event if isinstance(event, Message) else event.response())
                case CloseConnection():
                    self._say(event.response())
                    self._writer.close()

    def _say(self, event: Event) -> None:
        self._writer.write(self._socket.send(event))

"""One HTTP/2 connection to the origin, on h2: many exchanges at a time, each with its own window.

A stream sends no more than its window and the connection's allow, and after each frame lets the others have a turn.
A client's upload is acknowledged as the site uses it.
"""

from asyncio import Event, Task, create_task, sleep
from asyncio.streams import StreamWriter
from collections.abc import Callable

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from shaper.lab.exchange import Exchange, Framing, Headers, Request, Site

STREAM_WINDOW = 1 << 20  # of an upload
CONNECTION_WINDOW = 1 << 24


class Http2:
    """Feeds an h2 state machine and starts a task for each stream."""

    def __init__(self, writer: StreamWriter, site: Site, number: int, see: Callable[[Exchange], None]) -> None:
        self._writer, self._site, self._number, self._see = writer, site, number, see
        self.machine = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        self.machine.local_settings = Settings(
            client=False, initial_values={SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW}
        )
        self.machine.initiate_connection()
        self.machine.increment_flow_control_window(CONNECTION_WINDOW)
        self._streams: dict[int, tuple[Http2Exchange, Task[None]]] = {}
        self._opened = Event()

    def receive(self, data: bytes) -> None:
        """Take bytes that came from the client."""
        try:
            for event in self.machine.receive_data(data):
                self._handle(event)
        except ProtocolError:
            self.flush()
            self._writer.close()
        self.flush()

    def lost(self) -> None:
        """Give up what is under way: the client is gone."""
        for stream in list(self._streams):
            self._drop(stream)

    def flush(self) -> None:
        """Write what the state machine has to say."""
        if (data := self.machine.data_to_send()) and not self._writer.is_closing():
            self._writer.write(data)

    async def drained(self) -> None:
        """Write, wait until the connection takes more, and let other streams have a turn."""
        self.flush()
        await self._writer.drain()
        await sleep(0)

    async def opened(self) -> None:
        """Wait until a window opens."""
        await self._opened.wait()

    def _handle(self, event: object) -> None:
        match event:
            case RequestReceived(stream_id=int(stream)):
                self._begin(stream, [(name.decode(), value.decode("latin-1")) for name, value in event.headers])
            case DataReceived(stream_id=int(stream)):
                padding = event.flow_controlled_length - len(event.data)
                if stream in self._streams:
                    self._streams[stream][0].feed(event.data)
                    self.machine.acknowledge_received_data(padding, stream)
                else:
                    self.machine.acknowledge_received_data(event.flow_controlled_length, stream)
            case StreamEnded(stream_id=int(stream)) if stream in self._streams:
                self._streams[stream][0].feed(None)
            case StreamReset(stream_id=int(stream)):
                self._drop(stream)
            case WindowUpdated() | RemoteSettingsChanged():
                self._opened.set()
                self._opened = Event()

    def _begin(self, stream: int, headers: Headers) -> None:
        pseudo = dict(headers)
        plain = [(name, value) for name, value in headers if not name.startswith(":")]
        request = Request(pseudo[":method"], pseudo[":authority"], pseudo[":path"], plain, "h2", self._number)
        exchange = Http2Exchange(request, self, stream)
        self._see(exchange)
        self._streams[stream] = exchange, create_task(self._serve(stream, exchange))

    async def _serve(self, stream: int, exchange: Exchange) -> None:
        try:
            await self._site(exchange)
        except (ConnectionError, ProtocolError):
            exchange.lost()
        finally:
            self._streams.pop(stream, None)

    def _drop(self, stream: int) -> None:
        if stream in self._streams:
            exchange, task = self._streams.pop(stream)
            exchange.lost()
            task.cancel()


class Http2Exchange(Exchange):
    """One stream."""

    def __init__(self, request: Request, connection: Http2, stream: int) -> None:
        super().__init__(request)
        self._connection, self._stream = connection, stream

    def took(self, size: int) -> None:
        self._connection.machine.acknowledge_received_data(size, self._stream)
        self._connection.flush()

    async def start(self, status: int, headers: Headers, framing: Framing = Framing.LENGTH) -> None:
        _ = framing
        self._connection.machine.send_headers(self._stream, [(":status", str(status)), *headers])
        await self._connection.drained()

    async def send(self, data: bytes) -> None:
        machine = self._connection.machine
        while data:
            room = min(machine.local_flow_control_window(self._stream), machine.max_outbound_frame_size)
            if room <= 0:
                await self._connection.opened()
                continue
            machine.send_data(self._stream, data[:room])
            self.sent += min(room, len(data))
            data = data[room:]
            await self._connection.drained()

    async def finish(self, trailers: Headers) -> None:
        if trailers:
            self._connection.machine.send_headers(self._stream, list(trailers), end_stream=True)
        else:
            self._connection.machine.end_stream(self._stream)
        await self._connection.drained()

    def reset(self) -> None:
        self._connection.machine.reset_stream(self._stream, ErrorCodes.INTERNAL_ERROR)
        self._connection.flush()

"""HTTP/2 as a client, on h2: many streams on one connection, each with a window that is opened as it is read.

The connection's own window is opened as soon as bytes come, so a stream that stalls holds back no other.
"""

import asyncio
from math import isfinite
from urllib.parse import SplitResult

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from shaper.measure.fetched import Headers, Receipt
from shaper.measure.run import Outcome
from shaper.measure.session import Session
from shaper.measure.wire import Way, Wire

WINDOW = 1 << 20  # bytes a stream
CONNECTION_WINDOW = 1 << 24


class H2Session(Session):
    """Requests go at once. `window` is how much a stream may be ahead of its reader."""

    protocol = "h2"

    def __init__(self, url: SplitResult, way: Way, wire: Wire, handshake: float, window: int = WINDOW) -> None:
        super().__init__(url, way, wire, handshake)
        self._machine = H2Connection(H2Configuration(header_encoding="utf-8"))
        self._machine.local_settings = Settings(
            client=True, initial_values={SettingCodes.INITIAL_WINDOW_SIZE: window, SettingCodes.ENABLE_PUSH: 0}
        )
        self._machine.initiate_connection()
        self._machine.increment_flow_control_window(CONNECTION_WINDOW)
        self._receipts: dict[int, Receipt] = {}
        self._held: dict[int, int] = {}  # bytes of stalled streams that their windows are not opened by
        self._opened = asyncio.Event()
        self._flush()

    async def ask(self, receipt: Receipt, method: str, target: str, headers: Headers, body: bytes) -> None:
        if not self.wire.open:
            receipt.end(self.read_at, Outcome.ERROR, "the connection is closed")
            return
        try:
            stream = self._machine.get_next_available_stream_id()
            pseudo = {
                ":method": method, ":scheme": self.url.scheme, ":authority": self.url.netloc, ":path": target
            }  # fmt: skip
            length = [("content-length", str(len(body)))] if body else []
            self._machine.send_headers(stream, [*pseudo.items(), *headers, *length], end_stream=not body)
            self._receipts[stream] = receipt
            self._flush()
            await self._send(stream, body)
        except ProtocolError as error:
            receipt.end(self.read_at, Outcome.ERROR, str(error))

    def leave(self, receipt: Receipt) -> None:
        for stream in [stream for stream, each in self._receipts.items() if each is receipt]:
            del self._receipts[stream]
            self._machine.reset_stream(stream, ErrorCodes.CANCEL)
            self._flush()

    def receive(self, data: bytes, since: float, now: float) -> None:
        try:
            for event in self._machine.receive_data(data):
                self._take(event, since, now)
        except ProtocolError as error:
            self.lost(error, now)
            self.wire.close()
        self._flush()

    def lost(self, error: Exception | None, now: float) -> None:
        self._opened.set()
        for receipt in self._receipts.values():
            receipt.end(now, Outcome.ERROR, f"the connection was closed: {error or 'end of file'}")
        self._receipts.clear()

    def _take(self, event: object, since: float, now: float) -> None:
        match event:
            case WindowUpdated() | RemoteSettingsChanged():
                self._opened.set()
            case ConnectionTerminated():
                self.lost(ConnectionError(f"GOAWAY {event.error_code}"), now)
            case DataReceived(stream_id=int(stream)) if stream not in self._receipts:
                self._machine.acknowledge_received_data(event.flow_controlled_length, stream)
            case _ if (receipt := self._receipts.get(getattr(event, "stream_id", None) or 0)) is not None:
                self._take_of(receipt, event, since, now)

    def _take_of(self, receipt: Receipt, event: object, since: float, now: float) -> None:
        match event:
            case ResponseReceived(headers=headers):
                fields = [(str(name), str(value)) for name, value in headers or ()]
                receipt.head(int(dict(fields)[":status"]), [(n, v) for n, v in fields if n[0] != ":"], now)
            case DataReceived(stream_id=int(stream)):
                self._eat(stream, receipt, event, since, now)
            case TrailersReceived(headers=headers):
                receipt.trail([(str(name), str(value)) for name, value in headers or ()])
            case StreamEnded(stream_id=int(stream)):
                receipt.end(now)
                self._receipts.pop(stream, None)
            case StreamReset(stream_id=int(stream)):
                code = getattr(event.error_code, "name", event.error_code)
                receipt.end(now, Outcome.ERROR, f"the stream was reset: {code}")
                self._receipts.pop(stream, None)

    def _eat(self, stream: int, receipt: Receipt, event: DataReceived, since: float, now: float) -> None:
        size = event.flow_controlled_length
        receipt.data(event.data or b"", since, now)
        if receipt.stalls():
            self._held[stream] = 0
            if isfinite(receipt.appetite.stall):
                asyncio.get_running_loop().call_later(receipt.appetite.stall, self._resume, stream)
        if stream in self._held:
            self._held[stream] += size
            if size:  # an empty frame opens no window
                self._machine.increment_flow_control_window(size)
        else:
            self._machine.acknowledge_received_data(size, stream)
        if receipt.full:
            receipt.end(now, Outcome.ERROR, f"left after {receipt.size} bytes")
            self.leave(receipt)

    def _resume(self, stream: int) -> None:
        held = self._held.pop(stream, 0)
        if stream in self._receipts and held:
            self._machine.increment_flow_control_window(held, stream)
            self._flush()

    async def _send(self, stream: int, body: bytes) -> None:
        while body and stream in self._receipts:
            room = min(self._machine.local_flow_control_window(stream), self._machine.max_outbound_frame_size)
            if room <= 0:
                self._opened.clear()
                await self._opened.wait()
                continue
            self._machine.send_data(stream, body[:room], end_stream=room >= len(body))
            self._flush()
            body = body[room:]

    def _flush(self) -> None:
        if self.wire.open and (data := self._machine.data_to_send()):
            self.wire.transport.write(data)

"""Trailers over HTTP/1.1, which mitmproxy 12 does not have: it stops at them, whichever side they come from.

Received in a chunked body they become the events that HTTP/2 has for them; to be sent, they follow the last chunk. A
body that is not chunked has no place for trailers; RFC 9110 (6.5.1) lets a proxy drop them then.
"""

from typing import Any

import h11
import mitmproxy.proxy.layers.http as http_layers
from mitmproxy import http
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers.http import (
    Http1Server,
    HttpEvent,
    RequestEndOfMessage,
    RequestTrailers,
    ResponseEndOfMessage,
    ResponseTrailers,
)
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._http1 import Http1Connection, TBodyReader

from shaper.proxy.bounds import BoundedHead
from shaper.proxy.interim import FinalHttp1Client
from shaper.proxy.severed import SeverableHttp1Client


class Trailing(Http1Connection):
    """To be mixed into mitmproxy's two kinds of HTTP/1 connections."""

    _to_send: http.Headers | None = None

    def read_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Read on; tell of trailers before the end of their message."""
        if not isinstance(self.body_reader, _Reader):
            self.body_reader = _Reader(self.body_reader)  # type: ignore[assignment]
        reader: Any = self.body_reader
        for command in super().read_body(event):
            if isinstance(command, ReceiveHttp) and reader.trailers:
                stream_id = command.event.stream_id
                if isinstance(command.event, ResponseEndOfMessage):
                    yield ReceiveHttp(ResponseTrailers(stream_id, http.Headers(reader.trailers)))
                elif isinstance(command.event, RequestEndOfMessage):
                    yield ReceiveHttp(RequestTrailers(stream_id, http.Headers(reader.trailers)))
            yield command

    def send(self, event: HttpEvent) -> layer.CommandGenerator[None]:
        """Send; put trailers between the last chunk and the end of the message."""
        if isinstance(event, RequestTrailers | ResponseTrailers):
            self._to_send = event.trailers
            return
        ends = isinstance(event, RequestEndOfMessage | ResponseEndOfMessage)
        trailers, self._to_send = self._to_send, None if ends else self._to_send
        for command in super().send(event):
            if ends and trailers and isinstance(command, commands.SendData) and command.data == b"0\r\n\r\n":
                command.data = b"0\r\n" + bytes(trailers) + b"\r\n"
            yield command


class TrailingHttp1Client(SeverableHttp1Client, Trailing, BoundedHead, FinalHttp1Client):
    """Towards an origin."""


class TrailingHttp1Server(Trailing, BoundedHead, Http1Server):
    """Towards a client."""


class _Reader:
    """A body reader that takes the trailers off the end of a message and keeps them."""

    def __init__(self, reader: TBodyReader) -> None:
        self._reader = reader
        self.trailers: list[tuple[bytes, bytes]] = []

    def __call__(self, buffer: Any) -> Any:
        event = self._reader(buffer)
        if isinstance(event, h11.EndOfMessage) and event.headers:
            self.trailers = [(bytes(name), bytes(value)) for name, value in event.headers]
            return h11.EndOfMessage()
        return event

    def read_eof(self) -> Any:
        return self._reader.read_eof()


def install() -> None:
    """Have mitmproxy make connections that know trailers. Its layers know no other way to choose the class."""
    http_layers.Http1Client = TrailingHttp1Client  # type: ignore[misc]
    http_layers.Http1Server = TrailingHttp1Server  # type: ignore[misc]

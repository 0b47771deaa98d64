"""A body that is not as long as was announced ends its HTTP/2 stream, not the connection (RFC 9113, 8.1.1).

h2 ends the connection, and with it everything else that is under way on it. Not a byte more than announced is passed
on: a receiver that speaks HTTP/1.1 would take it for the next message.
"""

from functools import partial
from typing import Any

from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, StreamEnded
from h2.exceptions import InvalidBodyLengthError
from h2.stream import H2Stream
from mitmproxy.proxy import layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._http2 import Http2Connection


class Measured(Http2Connection):
    """An HTTP/2 connection on which each stream answers for the length that it announced."""

    def __init__(self, context: Context, *args: Any) -> None:
        super().__init__(context, *args)
        self._too_long: set[int] = set()
        self._too_short: set[int] = set()
        begin = self.h2_conn._begin_new_stream

        def begin_new_stream(*given: Any, **named: Any) -> H2Stream:
            stream = begin(*given, **named)
            stream._track_content_length = partial(self._measure, stream)  # type: ignore[method-assign]
            return stream

        self.h2_conn._begin_new_stream = begin_new_stream  # type: ignore[method-assign]

    def _measure(self, stream: H2Stream, length: int, end_stream: bool) -> None:
        try:
            H2Stream._track_content_length(stream, length, end_stream)
        except InvalidBodyLengthError as error:
            wrong = self._too_long if error.actual_length > error.expected_length else self._too_short
            wrong.add(stream.stream_id)

    def handle_h2_event(self, event: Event) -> layer.CommandGenerator[bool]:
        """Break off a stream whose body is too long at once, and one whose body is too short at its end."""
        stream_id = getattr(event, "stream_id", None)
        if isinstance(event, DataReceived) and stream_id in self._too_long:
            self.h2_conn.acknowledge_received_data(event.flow_controlled_length or 0, stream_id)
        elif not (isinstance(event, StreamEnded) and stream_id in self._too_long | self._too_short):
            return (yield from super().handle_h2_event(event))
        assert stream_id is not None
        if self.streams.pop(stream_id, None):
            error = self.ReceiveProtocolError
            yield ReceiveHttp(error(stream_id, "The body is not as long as announced.", error.code))
        if not self.is_closed(stream_id):
            self.h2_conn.reset_stream(stream_id, ErrorCodes.PROTOCOL_ERROR)
        if isinstance(event, StreamEnded):
            self._too_long.discard(stream_id)
            self._too_short.discard(stream_id)
        return False

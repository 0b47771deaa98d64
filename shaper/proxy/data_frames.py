"""DATA frames made by hand: nine bytes and the data (RFC 9113, sections 4.1 and 6.1).

h2 takes each through two state machines, a frame object, a serializer and four lines of log, which is most of what
HTTP/2 costs here. But data that does not end its stream changes no state and only takes from two windows. Whatever is
not plainly allowed goes h2's own way.
"""

import struct
from typing import Any

from h2.connection import ConnectionState
from h2.stream import StreamState
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http._http2 import Http2Connection

HEADER = struct.Struct(">BHBBL")  # length in three bytes; type, DATA; flags, none; stream

OPEN = {ConnectionState.CLIENT_OPEN, ConnectionState.SERVER_OPEN}
SENDING = {StreamState.OPEN, StreamState.HALF_CLOSED_REMOTE}


class PlainData(Http2Connection):
    """An HTTP/2 connection that makes its DATA frames itself."""

    def __init__(self, context: Context, *args: Any) -> None:
        super().__init__(context, *args)
        self._send_by_h2 = self.h2_conn.send_data
        self.h2_conn.send_data = self._send  # type: ignore[method-assign]

    def _send(self, stream_id: int, data: bytes, end_stream: bool = False, pad_length: None = None) -> None:
        h2_conn, size = self.h2_conn, len(data)
        stream = h2_conn.streams.get(stream_id)
        if (
            stream is None
            or end_stream
            or size > min(stream.outbound_flow_control_window, h2_conn.outbound_flow_control_window)
            or size > h2_conn.max_outbound_frame_size
            or stream.state_machine.state not in SENDING
            or h2_conn.state_machine.state not in OPEN
            or h2_conn.stream_buffers.get(stream_id)
        ):
            self._send_by_h2(stream_id, data, end_stream, pad_length)
            return
        stream.outbound_flow_control_window -= size
        h2_conn.outbound_flow_control_window -= size
        h2_conn._data_to_send += HEADER.pack(size >> 16, size & 0xFFFF, 0, 0, stream_id) + data

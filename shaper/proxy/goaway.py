"""An origin that says GOAWAY finishes the streams under way and takes no other (RFC 9113, 6.8).

mitmproxy and h2 end them all at once. Slowed responses are under way for long, so an origin's routine farewell (nginx
says it after so many requests, or an hour) would cut them short.
"""

from collections.abc import Callable

from h2.errors import ErrorCodes
from h2.events import Event, StreamReset
from hyperframe.frame import Frame, GoAwayFrame
from mitmproxy.connection import ConnectionState
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import Http2Client


class Patient(Http2Client):
    """An HTTP/2 connection to an origin that is used until what was begun on it is done."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        table = self.h2_conn._frame_dispatch_table
        self._give_up: Callable[[GoAwayFrame], tuple[list[Frame], list[Event]]] = table[GoAwayFrame]
        table[GoAwayFrame] = self._say_goodbye

    def _say_goodbye(self, frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:
        """Open no more streams here, and only end those that the origin will not answer."""
        if frame.error_code or self.stream_queue:  # an error, or requests that wait for a place on this connection
            return self._give_up(frame)
        self.conn.state &= ~ConnectionState.CAN_WRITE  # so that mitmproxy opens another connection for what comes next
        late = [stream_id for stream_id in self.streams if stream_id > frame.last_stream_id]
        return [], [StreamReset(stream_id, ErrorCodes.REFUSED_STREAM) for stream_id in late]

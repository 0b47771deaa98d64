"""An origin's connection that breaks off is no end of a body (RFC 9112, 8).

mitmproxy takes a reset for an orderly close, so a body that only the close delimits would pass for whole, cut short.
"""

from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers.http import ErrorCode, Http1Client
from mitmproxy.proxy.layers.http._base import ReceiveHttp

from shaper.proxy.gate import GatedReader


class SeverableHttp1Client(Http1Client):
    """A connection to an origin that knows whether it was closed or broke off."""

    def read_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Read on; a body under way when the connection breaks off is broken too."""
        if isinstance(event, events.ConnectionClosed) and self._is_severed and self.stream_id is not None:
            yield commands.CloseConnection(self.conn)
            message, code = "the origin's connection broke off", ErrorCode.GENERIC_SERVER_ERROR
            yield ReceiveHttp(self.ReceiveProtocolError(self.stream_id, message, code))
        else:
            yield from super().read_body(event)

    @property
    def _is_severed(self) -> bool:
        visitor = next((each.visitor for each in self.context.layers if hasattr(each, "visitor")), None)
        io = visitor.handler.transports.get(self.conn) if visitor else None
        return io is not None and isinstance(io.reader, GatedReader) and io.reader.is_severed

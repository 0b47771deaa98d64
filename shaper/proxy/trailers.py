"""Trailers, where mitmproxy cannot carry them: it does so over HTTP/2 only, and gives a connection up over the others.

Whoever cannot use trailers may leave them out (RFC 9110, 6.5.1), and the body is whole without. So they are left out
towards and from HTTP/1.
"""

import h11
import mitmproxy.proxy.layers.http._http1 as http1
from h11._readers import ChunkedReader
from mitmproxy import http
from mitmproxy.connection import Connection


class TrailerlessReader(ChunkedReader):  # type: ignore[misc]
    """Reads a chunked body and drops the trailers after it."""

    def __call__(self, buf: object) -> h11.Data | h11.EndOfMessage | None:
        """Return the next event that the buffer holds."""
        event = super().__call__(buf)
        return h11.EndOfMessage() if isinstance(event, h11.EndOfMessage) else event


def install() -> None:
    """Have mitmproxy read chunked bodies that way."""
    http1.ChunkedReader = TrailerlessReader  # type: ignore[attr-defined]


def drop_unless_h2(message: http.Message, receiver: Connection) -> None:
    """Drop a message's trailers if the receiver's protocol has none for mitmproxy."""
    if receiver.alpn != b"h2":
        message.trailers = None

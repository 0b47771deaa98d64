"""Interim responses (1xx) of an HTTP/1 origin, such as 103 Early Hints, are left out.

mitmproxy 12 would take the first one for the answer and hang up on the answer itself; of HTTP/2 origins it leaves them
out too. A proxy should pass them on (RFC 9110, 15.2), but a client loses nothing but a hint.
"""

import re

from mitmproxy.proxy import events, layer
from mitmproxy.proxy.layers.http import Http1Client

INTERIM = re.compile(rb"HTTP/1\.[01] 1(?!01)[0-9]{2}[ \r]")  # 101 is an answer


class FinalHttp1Client(Http1Client):
    """A connection to an origin that reads over everything before the final response."""

    def read_headers(self, event: events.ConnectionEvent) -> layer.CommandGenerator[None]:
        """Drop interim heads that are whole, and wait for those that are not."""
        while self.request and isinstance(event, events.DataReceived) and INTERIM.match(bytes(self.buf)):
            if not self.buf.maybe_extract_lines():
                return
        yield from super().read_headers(event)

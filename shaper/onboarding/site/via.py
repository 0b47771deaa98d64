"""How a request reached the site: by itself, or through the proxy, which then says for whom and how.

The proxy proves itself with a key that it shares with the site. Without that key its headers are a stranger's words
and count for nothing.
"""

import hmac
from typing import NamedTuple

from werkzeug.datastructures import Headers

KEY = "Shaper-Via"  # the shared key
CLIENT = "Shaper-Client"  # the client's key in the roster, or empty
SCHEME = "Shaper-Scheme"  # http or https, between client and proxy
PROTOCOL = "Shaper-Protocol"  # h1, h2 or h3, between client and proxy


class Via(NamedTuple):
    """What the proxy says of a request that it passes on."""

    client: str
    scheme: str
    protocol: str


def via_key(secret: bytes) -> str:
    """Return the key that the proxy sends, from the site's secret."""
    return hmac.digest(secret, b"via", "sha256").hex()


def via(headers: Headers, key: str) -> Via | None:
    """Return what the proxy says, or None when the request came by itself."""
    shown = headers.get(KEY, "")
    if not hmac.compare_digest(shown.encode(), key.encode()):
        return None
    return Via(headers.get(CLIENT, ""), headers.get(SCHEME, "http"), headers.get(PROTOCOL, ""))

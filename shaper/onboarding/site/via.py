"""Whom the proxy says a request is from, when it passes one on to the site.

The proxy proves itself with a key that it shares with the site. Without that key its header is a stranger's word and
counts for nothing.
"""

import hmac
from collections.abc import Callable, Mapping

from werkzeug.datastructures import Headers

KEY = "Shaper-Via"  # the shared key
CLIENT = "Shaper-Client"  # the pseudonym that the proxy's credentials stand for, or empty


def via_key(secret: bytes) -> str:
    """Return the key that the proxy sends, from the site's secret."""
    return hmac.digest(secret, b"via", "sha256").hex()


def introduction(secret: bytes) -> Callable[[str], Mapping[str, str]]:
    """Return what the proxy adds to a request of the person of a pseudonym, or of nobody known."""
    key = via_key(secret)
    return lambda pseudonym: {KEY: key, CLIENT: pseudonym}


def client_of(headers: Headers, key: str) -> str:
    """Return the pseudonym that the proxy vouches for, or an empty one."""
    shown = headers.get(KEY, "").encode()
    return headers.get(CLIENT, "") if hmac.compare_digest(shown, key.encode()) else ""

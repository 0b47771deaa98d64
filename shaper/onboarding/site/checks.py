"""The live check list: what has been seen of a browser since it opened the page, kept in memory for a while.

A page holds three pictures: at the site's name, at the check host, and there over https under the lab's CA. These names
exist only through the proxy, so each picture that is asked for proves a step, with or without JavaScript. A token ties
them to the page; nothing else about the browser is kept.
"""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

LIFE = 3600.0  # seconds a token is remembered after its last use
MOST = 10_000  # tokens


@dataclass(slots=True)
class Seen:
    """What one browser has shown so far. `client` is the pseudonym of whoever opened the page, in memory only."""

    used: float
    client: str
    proxy: bool = False
    let_in: bool = False  # by the proxy, as this person: the password has done its work
    routed: bool = False
    trusted: bool = False


class Checks:
    """All open check lists."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._seen: OrderedDict[str, Seen] = OrderedDict()  # least recently used first
        self._lock = Lock()

    def begin(self, client: str = "") -> str:
        """Return a fresh token."""
        token = secrets.token_urlsafe(16)
        with self._lock:
            self._seen[token] = Seen(self._now(), client)
            while len(self._seen) > MOST or next(iter(self._seen.values())).used < self._now() - LIFE:
                self._seen.popitem(last=False)
        return token

    def get(self, token: str) -> Seen | None:
        """Return what was seen under a token, or None when it is not known (any more)."""
        with self._lock:
            if seen := self._seen.get(token):
                seen.used = self._now()
                self._seen.move_to_end(token)
            return seen

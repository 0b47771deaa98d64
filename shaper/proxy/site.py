"""The study's own pages behind the proxy: two names that exist nowhere else, and whom the proxy vouches for there.

`shaper.lab` is open to all: who has not joined must be able to read what joining means. `check.shaper.lab` lets a
browser prove its set-up. Over http it asks for credentials like any host; over https, where it shows a certificate of
the study's CA, it asks for none, so that whoever deleted everything can still check that the CA is gone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mitmproxy import http

from shaper.proxy.connecting import ConnectTo
from shaper.proxy.visitor import Visitor

NAME = "shaper.lab"
CHECK = "check.shaper.lab"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where the pages are served; `https` is absent when nothing is intercepted and there is no CA to check.

    `introduce` returns the headers that tell the site who asks, given their pseudonym or an empty one.
    """

    http: tuple[str, int]
    https: tuple[str, int] | None = None
    introduce: Callable[[str], Mapping[str, str]] = lambda _pseudonym: {}

    @property
    def routes(self) -> tuple[ConnectTo, ...]:
        plain = (ConnectTo(NAME, 80, *self.http), ConnectTo(CHECK, 80, *self.http))
        return (*plain, ConnectTo(CHECK, 443, *self.https)) if self.https else plain


class Introducing:
    """The addon that tells the site who asks. It comes after Authenticating."""

    def __init__(self, site: Site, visitors: Mapping[str, Visitor]) -> None:
        self._site = site
        self._visitors = visitors

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Add the headers, in place of any that the client sent."""
        if flow.request.host in (NAME, CHECK):
            visitor = self._visitors.get(flow.client_conn.id)
            known = visitor is not None and visitor.authenticated
            for name, value in self._site.introduce(visitor.key if visitor and known else "").items():
                flow.request.headers[name] = value

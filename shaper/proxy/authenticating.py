"""The addon that asks clients who they are, by proxy credentials and by nothing that a stranger can set.

Credentials are taken off the request before it goes on. The study's own site is free of them (see `site`), but for the
check host: browsers show credentials to a proxy only once it has asked.
"""

import binascii
from base64 import b64decode
from collections.abc import Mapping

from mitmproxy import http

from shaper.policy.admission import Registry
from shaper.proxy.site import CHECK, NAME
from shaper.proxy.visitor import Visitor
from shaper.record.metrics import Metrics

REALM = 'Basic realm="shaper", charset="UTF-8"'


class Authenticating:
    """With `required`, nobody passes unnamed; without, whoever gives no credentials is a stranger to the study."""

    def __init__(
        self,
        registry: Registry,
        visitors: Mapping[str, Visitor],
        metrics: Metrics,
        *,
        required: bool,
        site: bool = False,
    ) -> None:
        self._registry = registry
        self._visitors = visitors
        self._metrics = metrics
        self._required = required
        self._site = site

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """Ask at a CONNECT; the tunnel's requests are then known by its connection."""
        self._ask(flow, needed=self._required and not (self._site and flow.request.host == CHECK))

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Ask at a plain request."""
        host = flow.request.host if self._site else ""
        self._ask(flow, needed=host == CHECK or (self._required and host != NAME))

    def _ask(self, flow: http.HTTPFlow, *, needed: bool) -> None:
        """Take the credentials; without right ones, let the request pass unless they are needed."""
        visitor = self._visitors.get(flow.client_conn.id)
        if visitor is None:
            return
        given = flow.request.headers.pop("proxy-authorization", None)
        if given is not None:
            name = self._check(given)
            visitor.authenticated = name is not None
            visitor.key = name if name is not None else visitor.key
            if name is None:
                self._metrics.request_refused("proxy", 407)
        if needed and not visitor.authenticated:
            flow.request.stream = False
            flow.response = http.Response.make(
                407, b"This proxy asks for the credentials of your invitation.\n",
                {"proxy-authenticate": REALM, "content-type": "text/plain; charset=utf-8"},
            )  # fmt: skip

    def _check(self, given: str) -> str | None:
        scheme, _, token = given.partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            username, _, password = b64decode(token, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return self._registry.authenticate(username, password)

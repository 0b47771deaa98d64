"""The addon that asks clients who they are, by proxy credentials and by nothing that a stranger can set.

Credentials are taken off the request before it goes on. The study's own site is free of them (see `site`).
"""

import binascii
from base64 import b64decode
from collections.abc import Mapping

from mitmproxy import http

from shaper.policy.admission import Registry
from shaper.proxy.site import CHECK, NAME
from shaper.proxy.visitor import Visitor

REALM = 'Basic realm="shaper", charset="UTF-8"'


class Authenticating:
    """With `required`, nobody passes unnamed; without, whoever gives no credentials is a stranger to the study."""

    def __init__(
        self, registry: Registry, visitors: Mapping[str, Visitor], *, required: bool, site: bool = False
    ) -> None:
        self._registry = registry
        self._visitors = visitors
        self._required = required
        self._site = site

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """Ask at a CONNECT; the tunnel's requests are then known by its connection."""
        self._ask(flow, free=self._site and flow.request.host == CHECK)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Ask at a plain request."""
        self._ask(flow, free=self._site and flow.request.host == NAME)

    def _ask(self, flow: http.HTTPFlow, *, free: bool) -> None:
        """Take the credentials; without any, let the request pass when it is `free`."""
        visitor = self._visitors.get(flow.client_conn.id)
        if visitor is None:
            return
        given = flow.request.headers.pop("proxy-authorization", None)
        if given is not None:
            name = self._check(given)
            visitor.authenticated = name is not None
            visitor.key = name if name is not None else visitor.key
        if self._required and not free and not visitor.authenticated:
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

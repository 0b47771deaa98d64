"""Who may use the control API, and how everything else is refused: with a problem (RFC 9457), counted by its status.

A request must name this machine as its host, against DNS rebinding, and carry the token in a header, which no other
site can make a browser send. Refusals say what is wrong with the request and nothing of the proxy.
"""

import hmac
import re
from collections import Counter
from collections.abc import Callable

from flask import Flask, Response, abort, g, request
from werkzeug.exceptions import HTTPException, InternalServerError

from shaper.onboarding.control.operation import PROBLEM, TITLES, Problem

WHO = re.compile(r"[A-Za-z0-9_.@-]{1,64}")
POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'"
HOSTS = ["127.0.0.1", "localhost", "[::1]"]


def who() -> str:
    """Return who says that they make this request; the token is shared, so it is only what they say."""
    name = g.get("operator") or request.headers.get("Operator", "unnamed")
    if not WHO.fullmatch(name):
        abort(400, "Operator: use up to 64 letters, digits and . _ @ -")
    return name


class Refusals(Counter[str]):
    """Refused requests by status; `count` is told of each one, too."""

    def __init__(self, count: Callable[[int], None]) -> None:
        super().__init__()
        self._count = count

    def note(self, status: int) -> None:
        self[str(status)] += 1
        self._count(status)


def guard(app: Flask, token: str, refusals: Refusals) -> None:
    """Let only the token's holder in, and answer everybody else."""

    @app.before_request
    def admit() -> None:
        if request.blueprint == "page":
            return  # it asks for the token itself, and its forms are its own
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        right = hmac.compare_digest(given.strip().encode(errors="replace"), token.encode())
        if scheme.lower() != "bearer" or not right:
            abort(401, "Send the header Authorization: Bearer TOKEN.")
        who()

    @app.errorhandler(Exception)
    def refuse(error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            app.logger.error("control: %s: %s", request.path, type(error).__name__)
            error = InternalServerError("This is a defect in shaper; the proxy goes on as before.")
        status = error.code or 500
        refusals.note(status)
        problem = Problem(title=TITLES.get(status, error.name), status=status, detail=error.description or "")
        response = Response(problem.model_dump_json() + "\n", status, content_type=PROBLEM)
        response.headers.extend(kept for kept in error.get_headers() if kept[0] in ("Allow", "WWW-Authenticate"))
        if status == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        return response

    @app.after_request
    def harden(response: Response) -> Response:
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Content-Security-Policy"] = POLICY
        return response

"""Who may use the control API, and how everything else is refused: with a problem (RFC 9457), counted by its status.

A request must name this machine as its host, against DNS rebinding, and carry the token in a header, which no other
site can make a browser send. Refusals say what is wrong with the request and nothing of the proxy.
"""

import hmac
import re
from collections import Counter
from collections.abc import Callable

from flask import Flask, Response, abort, request
from werkzeug.exceptions import HTTPException, InternalServerError

from shaper.onboarding.control.operation import PROBLEM, TITLES, Problem

WHO = re.compile(r"[A-Za-z0-9_.@-]{1,64}")
HOSTS = ["127.0.0.1", "localhost", "[::1]"]


def who() -> str:
    """Return who says that they make this request; the token is shared, so it is only what they say."""
    name = request.headers.get("Operator", "unnamed")
    if not WHO.fullmatch(name):
        abort(400, "Operator: use up to 64 letters, digits and . _ @ -")
    return name


def guard(app: Flask, token: str, count: Callable[[int], None]) -> Counter[str]:
    """Let only the token's holder in. Return the refusals so far by status; `count` is told of each one."""
    refused: Counter[str] = Counter()

    @app.before_request
    def admit() -> None:
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
        refused[str(status)] += 1
        count(status)
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
        return response

    return refused

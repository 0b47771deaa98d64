"""Forms from elsewhere are refused: each carries a random token that only the session's own pages hold.

Beside it the session's cookie is SameSite=Lax and browsers that say where a request comes from are believed.
"""

import hmac
import secrets

from flask import abort, request, session

FIELD = "token"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def token() -> str:
    """Return the session's token, making it at first use."""
    if "token" not in session:
        session["token"] = secrets.token_urlsafe(16)
    return str(session["token"])


def refuse_forged() -> None:
    """Before each request: answer 403 to a change that this session's own page did not ask for."""
    if request.method in SAFE:
        return
    shown, expected = request.form.get(FIELD, ""), str(session.get("token", ""))
    elsewhere = request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none")
    if elsewhere or not expected or not hmac.compare_digest(shown.encode(), expected.encode()):
        abort(403)

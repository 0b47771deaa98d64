"""Which language a page is in: the one asked for, else the one chosen before, else the browser's, else English."""

from urllib.parse import urlencode

from flask import Response, g, request, url_for

from shaper.onboarding.site.wording import DEFAULT, languages

ASKED = "language"  # in the query, and the name of the cookie that remembers it
YEAR = 365 * 86400


def choose_language() -> None:
    """Before each request: set `g.language`."""
    known = languages()
    asked = (request.args.get(ASKED, ""), request.cookies.get(ASKED, ""))
    code = next((code for code in asked if code in known), None)
    g.language = known[code or request.accept_languages.best_match(known) or DEFAULT]


def remember_language(response: Response) -> Response:
    """After each request: keep a choice that was made in it."""
    if request.args.get(ASKED, "") in languages():
        response.set_cookie(ASKED, request.args[ASKED], max_age=YEAR, httponly=True, samesite="Lax")
    response.vary.update(("Accept-Language", "Cookie"))
    return response


def here_in(code: str) -> str:
    """Return the address of this page in another language; of the first page, when this one answers a form."""
    here = request.path if request.method == "GET" and request.endpoint else url_for("consent.start")
    return f"{here}?{urlencode({**request.args, ASKED: code})}"

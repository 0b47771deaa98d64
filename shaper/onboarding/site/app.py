"""The site as a Flask application: its parts put together, and what holds for every page.

No page loads anything from elsewhere, runs an inline script or is kept by a cache. A refusal changes nothing, is
counted by its status and answered in words.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from flask import Flask, Response, g, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import Conflict, HTTPException, InternalServerError, SecurityError

from shaper.onboarding.roster import Roster, UnknownVolunteerError
from shaper.onboarding.site import consent_page, forgery, glass_page, setup_page, trial_page
from shaper.onboarding.site.address import Addresses
from shaper.onboarding.site.certificate import Certificate
from shaper.onboarding.site.consent_text import texts_in_force
from shaper.onboarding.site.language import choose_language, here_in, remember_language
from shaper.onboarding.site.site import Site, the_site
from shaper.onboarding.site.study import Study
from shaper.onboarding.site.trial import Piece
from shaper.onboarding.site.wording import languages

LARGEST = 64 * 1024  # bytes of a form
EXPLAINED = (400, 403, 404, 405, 409, 413, 500)  # statuses with words of their own


def make_site(
    roster: Roster,
    study: Study,
    addresses: Addresses,
    *,
    secret: bytes,
    certificate: Certificate | None = None,
    pieces: tuple[Piece, ...] = (),
    open_to_all: bool = False,
    trusts: Callable[[str], None] = lambda _client: None,
    count: Callable[[int], None] = lambda _status: None,
) -> Flask:
    """Return the site, and hold the roster to its texts.

    `secret` signs sessions and makes the proxy known, which is to add `via.introduction(secret)` to what it passes on.
    Without `open_to_all` only who brings an invitation may join. `trusts` is told whose browser has come to trust the
    CA, and `count` the status of every refusal.
    """
    app = Flask(__name__)
    app.extensions["shaper"] = Site(
        roster, study, addresses, secret, certificate, pieces, open_to_all=open_to_all, trusts=trusts
    )
    roster.texts = texts_in_force(study)
    app.config.update(
        SECRET_KEY=secret,
        SESSION_COOKIE_NAME="shaper",
        SESSION_COOKIE_SAMESITE="Lax",
        PERMANENT_SESSION_LIFETIME=timedelta(seconds=study.terms.consent),
        MAX_CONTENT_LENGTH=LARGEST,
        MAX_FORM_MEMORY_SIZE=LARGEST,
        MAX_FORM_PARTS=64,
        TRUSTED_HOSTS=addresses.trusted_hosts,
    )
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    app.before_request(choose_language)
    app.before_request(forgery.refuse_forged)
    app.before_request(lambda: the_site().welcome())
    app.after_request(remember_language)
    app.context_processor(
        lambda: {
            "t": g.language,
            "languages": languages(),
            "site": the_site(),
            "study": the_site().study,
            "here_in": here_in,
            "csrf": forgery.token,
            "visitor": g.get("visitor"),
        }
    )
    for page in (consent_page.page, setup_page.page, trial_page.page, glass_page.page):
        app.register_blueprint(page)

    @app.after_request
    def guard(response: Response) -> Response:
        return _guarded(response, addresses)

    @app.errorhandler(Exception)
    def refuse(error: Exception) -> ResponseReturnValue:
        if isinstance(error, HTTPException) and (error.code or 500) < 400:
            return error.get_response()  # a redirect
        if isinstance(error, SecurityError):  # without a host that is ours there is no page to show
            count(400)
            return "This name does not lead here.\n", 400, {"Content-Type": "text/plain"}
        if isinstance(error, UnknownVolunteerError):  # deleted while this request was under way
            error = Conflict()
        if not isinstance(error, HTTPException):
            if app.testing:
                raise error
            app.logger.error("site: %s: %s", request.endpoint, type(error).__name__)
            error = InternalServerError()
        status = error.code or 500
        count(status)
        kind = status if status in EXPLAINED else 400 if status < 500 else 500
        choose_language()
        return render_template("error.html", kind=kind), status

    return app


def change_study(app: Flask, study: Study) -> None:
    """Put another policy or other terms before the volunteers: where the text changes, everybody is asked again."""
    site: Site = app.extensions["shaper"]
    app.extensions["shaper"] = replace(site, study=study)
    site.roster.texts = texts_in_force(study)


def _guarded(response: Response, addresses: Addresses) -> Response:
    check = f"http://{addresses.site} http://{addresses.check} https://{addresses.check}"
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": f"'self' blob: {check} {addresses.lab}",
        "media-src": f"blob: {addresses.lab}",
        "connect-src": f"'self' {addresses.lab}",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    response.headers["Content-Security-Policy"] = "; ".join(f"{key} {value.strip()}" for key, value in policy.items())
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=()"
    if request.endpoint != "static":
        response.headers["Cache-Control"] = "no-store"
    return response

"""The lab's page: the control API's operations for people with a browser, without a script.

Who types in the token gets a session: a signed cookie that only this page's own forms can use (SameSite=Strict, and a
token in each form). The API does not take the cookie.
"""

import hmac
from pathlib import Path

from flask import Blueprint, Flask, Response, abort, flash, g, redirect, render_template, request, session, url_for
from markupsafe import Markup
from pydantic import BaseModel
from werkzeug import Response as BaseResponse
from werkzeug.exceptions import BadRequest, HTTPException

from shaper.onboarding.control.api import Api, ConflictError
from shaper.onboarding.control.guard import Refusals
from shaper.onboarding.control.operation import DryRun, PauseBody, PhaseBody
from shaper.onboarding.site import forgery
from shaper.onboarding.site import server as site
from shaper.policy.load import PolicyError
from shaper.policy.refused import RefusedError
from shaper.policy.units import format_rate, format_size

SHOWN = 50  # transfers and lines of the audit log
HERE = Path(__file__).parent / "templates"
SAID = {403: "This form was too old, or not from this page. Try again."}
SITE = Path(site.__file__).parent / "static"
STYLES = {
    "control.css": (HERE / "control.css", "text/css; charset=utf-8"),
    "site.css": (SITE / "site.css", "text/css; charset=utf-8"),
    "icon.svg": (SITE / "icon.svg", "image/svg+xml"),
}


def add_page(app: Flask, api: Api, token: str, refusals: Refusals) -> None:
    """Serve the page at the root of the control API's port."""
    app.config.update(
        SECRET_KEY=hmac.digest(token.encode(), b"the lab's page", "sha256"),
        SESSION_COOKIE_NAME="shaper-control",
        SESSION_COOKIE_SAMESITE="Strict",
        SESSION_COOKIE_HTTPONLY=True,
    )
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    app.add_template_filter(format_size, "size")
    app.add_template_filter(format_rate, "rate")
    page = Blueprint("page", __name__)
    page.before_request(forgery.refuse_forged)

    @page.before_request
    def ask_for_the_token() -> BaseResponse | None:
        g.operator = "page"
        open_to_all = request.endpoint in {"page.control", "page.enter", "page.style"}
        return None if session.get("in") or open_to_all else redirect(url_for("page.control"), 303)

    @page.get("/")
    def control() -> str:
        return _shown(api)

    @page.get("/style/<name>")
    def style(name: str) -> Response:
        if name not in STYLES:
            abort(404)
        file, kind = STYLES[name]
        return Response(file.read_bytes(), content_type=kind)

    @page.post("/enter")
    def enter() -> BaseResponse:
        if not hmac.compare_digest(request.form.get("given", "").strip().encode(), token.encode()):
            abort(401, "This is not the token.")
        session.clear()
        session["in"] = True
        return redirect(url_for("page.control"), 303)

    @page.post("/leave")
    def leave() -> BaseResponse:
        session.clear()
        return redirect(url_for("page.control"), 303)

    @page.post("/change")
    def change() -> BaseResponse | str | tuple[str, int]:
        text = request.form.get("text", "")
        try:
            done, found = _change(api, request.form.get("do", ""), text)
        except (PolicyError, RefusedError, ConflictError) as error:
            refusals.note(422)
            flash(str(error), "attention")
            return _shown(api, text), 422
        if isinstance(found, DryRun):
            return _shown(api, text, found)
        flash(done, "good")
        return redirect(url_for("page.control"), 303)

    @page.errorhandler(HTTPException)
    def refuse(error: HTTPException) -> tuple[str, int]:
        status = error.code or 500
        refusals.note(status)
        flash(SAID.get(status) or error.description or "This cannot be done.", "attention")
        return _shown(api), status

    app.register_blueprint(page)


def _change(api: Api, do: str, text: str) -> tuple[str, BaseModel]:
    match do:
        case "pause":
            return "Paused: everything passes unshaped.", api.pause(PauseBody(paused=True))
        case "resume":
            return "Shaping again.", api.pause(PauseBody(paused=False))
        case "phase":
            return "Study time is set.", api.phase(PhaseBody(phase=request.form.get("phase", "")[:64] or None))
        case "reload":
            return "The policy file was read again.", api.reload()
        case "apply":
            return "The policy is in force.", api.apply(text.encode())
        case "try":
            return "", api.dry_run(text.encode())
    raise BadRequest("There is no such change.")


def _shown(api: Api, text: str = "", dry_run: DryRun | None = None) -> str:
    status = api.status() if session.get("in") else None
    return render_template(
        "control.html",
        status=status,
        phases=api.phases() if status else (),
        transfers=api.transfers().transfers[:SHOWN] if status else (),
        audit=api.audit(SHOWN).entries if status else (),
        text=text,
        dry_run=dry_run,
        csrf=lambda: Markup('<input type="hidden" name="{}" value="{}">').format(forgery.FIELD, forgery.token()),
    )

"""Consent: the text, three questions that explain, two equal buttons, a receipt. Nothing is kept before a yes."""

from collections.abc import Mapping

from flask import Blueprint, Response, abort, g, redirect, render_template, request, url_for
from werkzeug import Response as BaseResponse

from shaper.onboarding.site.receipt import receipt
from shaper.onboarding.site.site import for_members, takes_part, the_site
from shaper.policy.refused import RefusedError

page = Blueprint("consent", __name__)

# Question -> its answers in the order shown; the right one.
QUESTIONS = {
    "read": (("all", "targets", "none"), "targets"),
    "keep": (("address", "figures", "nothing"), "figures"),
    "stop": (("ask_lab", "press", "endure"), "press"),
}
ACCESS = ("mobile", "fixed")


@page.get("/")
def start() -> BaseResponse:
    return redirect(url_for("glass.glass" if _agreed() else "consent.consent"))


@page.get("/join/<credential>")
def join(credential: str) -> BaseResponse:
    """Take an invitation. Its link leaves the address bar at once."""
    pseudonym = the_site().roster.sign_in(credential)
    if pseudonym is None:
        abort(404)
    the_site().sign_in(pseudonym, credential)
    return redirect(url_for("consent.start"))


@page.get("/consent")
def consent() -> str:
    return _text()


@page.post("/consent")
def decide() -> BaseResponse | tuple[str, int]:
    site, text = the_site(), the_site().texts[g.language.code]
    choice, answers = request.form.get("choice"), request.form.to_dict()
    if choice == "no":
        return redirect(url_for("consent.declined"))
    if choice != "yes":
        abort(400)
    if not _may_join():
        abort(403)
    if answers.get("text") != text.digest:
        return _text(problem="changed"), 409
    right = {name: right for name, (_, right) in _questions().items()} | {"adult": "yes"}
    if any(answers.get(name) != answer for name, answer in right.items()):
        return _text(problem="mended", answers=answers), 422
    access = answers["access"] if answers.get("access") in ACCESS else None
    if g.visitor is None:
        pseudonym, credential = site.roster.enrol(access)
        site.sign_in(pseudonym, credential.token)
    else:
        site.roster.set_access(g.visitor.pseudonym, access)
    try:
        site.roster.consent(g.visitor.pseudonym, text.digest, text.language)
    except RefusedError:  # the study was changed this very moment
        return _text(problem="changed"), 409
    return redirect(url_for("consent.joined"))


@page.get("/joined")
@for_members
def joined() -> str:
    return render_template("joined.html", link=the_site().link)


@page.get("/declined")
def declined() -> str:
    return render_template("declined.html")


@page.get("/receipt.txt")
@for_members
def download_receipt() -> Response:
    site, member = the_site(), g.visitor
    text = site.texts.get(member.consent.language)
    body = receipt(site.study, member, text, url_for("glass.glass", _external=True), g.language)
    file = f'attachment; filename="shaper-consent-{site.study.policy.study}.txt"'
    return Response(body, mimetype="text/plain", headers={"Content-Disposition": file})


def _text(problem: str = "", answers: Mapping[str, str] | None = None) -> str:
    return render_template(
        "consent.html",
        text=the_site().texts[g.language.code],
        questions=_questions(),
        answers=answers,
        problem=problem,
        may_join=_may_join(),
        agreed=_agreed(),
    )


def _questions() -> Mapping[str, tuple[tuple[str, ...], str]]:
    """Return the questions; where nothing is decrypted, another answer to the first is right."""
    return QUESTIONS if the_site().study.opens else {**QUESTIONS, "read": (QUESTIONS["read"][0], "none")}


def _may_join() -> bool:
    return the_site().open_to_all or g.visitor is not None


def _agreed() -> bool:
    return g.visitor is not None and takes_part(g.visitor)

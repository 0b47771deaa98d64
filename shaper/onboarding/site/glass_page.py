"""Glass box: every record in words, and the controls: pause, stop, delete, download, remove the certificate."""

from typing import Any

from flask import Blueprint, Response, g, json, redirect, render_template, session, url_for
from werkzeug import Response as BaseResponse

from shaper.onboarding.site.entry import in_words
from shaper.onboarding.site.receipt import stamp
from shaper.onboarding.site.site import for_members, takes_part, the_site, to_consent

page = Blueprint("glass", __name__)

SHOWN = 50  # newest records on the page
PAUSE = 3600.0  # seconds


@page.get("/glass")
@for_members
def glass() -> str:
    return render_template("glass.html", **_kept())


@page.get("/glass/live")
@for_members
def live() -> str:
    """Return the part of the page that changes, for the script to put in."""
    return render_template("glass_live.html", **_kept())


@page.post("/pause")
@for_members
def pause() -> BaseResponse:
    the_site().roster.pause(g.visitor.pseudonym, PAUSE)
    return redirect(url_for("glass.glass"))


@page.post("/resume")
@for_members
def resume() -> BaseResponse:
    the_site().roster.resume(g.visitor.pseudonym)
    return redirect(url_for("glass.glass"))


@page.post("/stop")
@for_members
def stop() -> BaseResponse:
    the_site().roster.stop(g.visitor.pseudonym)
    return redirect(url_for("glass.stopped"))


@page.get("/stopped")
def stopped() -> BaseResponse | str:
    return _to_glass() if g.visitor and takes_part(g.visitor) else render_template("left.html", what="stopped")


@page.get("/delete")
def ask() -> BaseResponse | str:
    return render_template("erase.html", **_kept()) if g.visitor else to_consent()


@page.post("/delete")
def erase() -> BaseResponse:
    if g.visitor is None:
        return to_consent()
    the_site().roster.delete(g.visitor.pseudonym)
    session.clear()
    return redirect(url_for("glass.erased"))


@page.get("/deleted")
def erased() -> BaseResponse | str:
    return _to_glass() if g.visitor else render_template("left.html", what="erased")


@page.get("/my-data.json")
@for_members
def download() -> Response:
    body = json.dumps(the_site().roster.own_data(g.visitor.pseudonym), indent=1)
    file = f'attachment; filename="shaper-my-data-{the_site().study.policy.study}.json"'
    return Response(body, mimetype="application/json", headers={"Content-Disposition": file})


def _to_glass() -> BaseResponse:
    """Do not tell somebody what is not so."""
    return redirect(url_for("glass.glass"))


def _kept() -> dict[str, Any]:
    terms = the_site().study.terms
    entries = the_site().roster.entries(g.visitor.pseudonym, limit=terms.entries)
    rows = [in_words(entry, g.language) for entry in entries[:SHOWN]]
    return {"rows": rows, "all": len(entries), "stamp": stamp, "budget": terms.bytes_a_day}

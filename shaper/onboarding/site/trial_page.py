"""Test: the same pieces under each arm, with bars. Results stay in the browser: the study has its own records."""

from collections import Counter
from typing import Any

from flask import Blueprint, abort, g, redirect, render_template, request, url_for
from werkzeug import Response

from shaper.onboarding.site.consent_text import slowing
from shaper.onboarding.site.site import for_participants, the_site
from shaper.onboarding.site.trial import expected_time

page = Blueprint("trial", __name__)

PATIENCE = 300.0  # seconds that an arm is held for a test, at most


@page.get("/test")
@for_participants
def trial() -> str:
    site = the_site()
    return render_template(
        "trial.html",
        arms=[_described(arm) for arm in _arms()],
        pieces=_labelled(),
        seconds=sum(expected_time(site.study, arm, site.pieces) for arm in _arms()),
        size=sum(piece.size for piece in site.pieces) * len(_arms()),
    )


@page.post("/test/arm")
@for_participants
def rehearse() -> tuple[str, int]:
    """Hold the person to an arm while the page's script loads the pieces, or let go of it."""
    _hold(0.0 if request.form.get("over") else PATIENCE)
    return "", 204


@page.post("/test/load")
@for_participants
def load() -> Response:
    """Do the same without a script: the next page holds the pieces."""
    return redirect(url_for("trial.loaded", arm=_hold() or None))


@page.get("/test/loaded")
@for_participants
def loaded() -> str:
    arm = request.args.get("arm", "")
    return render_template("loaded.html", arm=_described(arm if arm in _arms() else _arms()[0]), pieces=_labelled())


def _arms() -> tuple[str, ...]:
    """Return the study's arms, or one without a name."""
    return the_site().study.arms or ("",)


def _hold(seconds: float = PATIENCE) -> str:
    arm = request.form.get("arm", "")
    if arm not in _arms():
        abort(400)
    if arm:
        the_site().roster.rehearse(g.visitor.pseudonym, arm, seconds)
    return arm


def _described(arm: str) -> dict[str, Any]:
    t, study = g.language, the_site().study
    return {
        "arm": arm,
        "label": str(t("trial.arm", arm=arm) if arm else t("trial.no_arms")),
        "slowed": [slowing(study, rule, t).unescape() for rule in study.slowing(arm or None)],
    }


def _labelled() -> list[dict[str, Any]]:
    site, t, counted = the_site(), g.language, Counter[str]()
    pieces = []
    for piece in site.pieces:
        counted[piece.kind] += 1
        pieces.append(
            {
                "kind": piece.kind,
                "label": str(t(f"trial.piece_{piece.kind}", n=counted[piece.kind])),
                "url": site.addresses.lab + piece.path,
                "size": piece.size,
                "size_label": str(t.size(piece.size)),
            }
        )
    return pieces

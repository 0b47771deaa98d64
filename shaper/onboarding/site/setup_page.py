"""Set up: PAC, certificate, steps for this browser, and a check list that turns green as requests arrive."""

from typing import Any

from flask import Blueprint, Response, abort, g, redirect, render_template, request, session, url_for
from markupsafe import Markup
from werkzeug import Response as BaseResponse

from shaper.onboarding.credentials import Credential
from shaper.onboarding.site import browser, pac
from shaper.onboarding.site.certificate import MIME
from shaper.onboarding.site.checks import Seen
from shaper.onboarding.site.site import for_participants, the_site

page = Blueprint("setup", __name__)

DOT = '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'


@page.get("/setup")
@for_participants
def setup() -> str:
    token, seen = _check_list()
    if seen.let_in:
        session.pop("credential", None)
    site, credential = the_site(), Credential.parse(str(session.get("credential", "")))
    return render_template(
        "setup.html", **_steps(), credential=credential, link=site.link, token=token, items=_items(seen)
    )


@page.post("/setup/credential")
@for_participants
def renew() -> BaseResponse:
    session["credential"] = the_site().roster.renew(g.visitor.pseudonym).token
    session.pop("check", None)
    return redirect(url_for("setup.setup"))


@page.get("/check.json")
def check() -> dict[str, bool]:
    _, seen = _check_list()
    return _items(seen)


@page.get("/seen/<token>.svg")
def see(token: str) -> Response:
    """Note what this request proves; answer with a picture of nothing."""
    site, seen = the_site(), the_site().checks.get(token)
    if seen is None:
        abort(404)
    host = request.host.partition(":")[0]
    seen.proxy |= host in (site.addresses.site, site.addresses.check)
    seen.let_in |= bool(seen.client) and site.vouched_for() == seen.client
    seen.routed |= host == site.addresses.check
    if host == site.addresses.check and request.is_secure and not seen.trusted:
        seen.trusted = True
        site.trusts(seen.client)
    return Response(DOT, mimetype="image/svg+xml")


@page.get("/reached/<token>")
def reached(token: str) -> str:
    """Opened by hand at the check host: browsers ask for a proxy's password only for a page, never for a picture."""
    see(token)
    return render_template("reached.html")


@page.get("/proxy.pac")
def proxy_pac() -> Response:
    study, addresses = the_site().study, the_site().addresses
    own = [addresses.site, addresses.check, *filter(None, [addresses.lab_host])]
    hosts = dict.fromkeys([*own, *study.hosts])
    return Response(pac.script(hosts, study.policy.never, addresses.proxy), content_type=pac.MIME)


@page.get("/ca.crt")
def ca() -> Response:
    if (certificate := the_site().certificate) is None:
        abort(404)
    file = f'attachment; filename="shaper-lab-{the_site().study.policy.study}.crt"'
    return Response(certificate.pem, content_type=MIME, headers={"Content-Disposition": file})


@page.get("/remove")
def remove() -> str:
    token, _ = _check_list()
    return render_template("remove.html", **_steps(), token=token)


@page.get("/trusted")
def trusted() -> str:
    """Opened at the check host over https: who reads it trusts the certificate."""
    return render_template("trusted.html")


def _check_list() -> tuple[str, Seen]:
    """Return this session's check list, beginning one when there is none."""
    checks = the_site().checks
    token = str(session.get("check", ""))
    seen = checks.get(token)
    if seen is None:
        client = g.visitor.pseudonym if g.visitor else ""
        session["check"] = token = checks.begin(client)
        seen = checks.get(token)
    return token, seen or Seen(0.0, "")


def _items(seen: Seen) -> dict[str, bool]:
    """Return the check list. What protocol is agreed on only the page's script can tell."""
    items = {"proxy": seen.proxy, "routed": seen.routed}
    return items | {"trusted": seen.trusted} if the_site().study.opens else items


def _steps() -> dict[str, Any]:
    addresses, certificate = the_site().addresses, the_site().certificate
    guess = browser.Browser.guess(request.user_agent.string)
    chosen = guess.corrected(request.args.get("browser", ""), request.args.get("system", ""))
    values = {
        "pac": f"{addresses.own}/proxy.pac",
        "host": addresses.proxy_host,
        "port": addresses.proxy_port,
        "name": certificate.name if certificate else "",
    }

    def of(part: str) -> list[Markup]:
        found: list[Markup] = g.language.steps(f"place.{chosen.place}.{part}", **values)
        return found

    choices = {"browsers": browser.BROWSERS, "systems": browser.SYSTEMS, "names": browser.NAMES}
    return {"guess": guess, "chosen": chosen, "of": of, **choices, **values}

"""What all pages share: the roster, the study and its texts, the addresses, and who is asking.

A visitor is whoever the proxy says, else whoever signed in with an invitation here. Neither is trusted from a header
that a stranger could set.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, wraps
from typing import Any

from flask import abort, current_app, g, redirect, request, session, url_for
from werkzeug import Response

from shaper.onboarding.member import Member, State
from shaper.onboarding.roster import Roster, UnknownVolunteerError
from shaper.onboarding.site.address import Addresses
from shaper.onboarding.site.certificate import Certificate
from shaper.onboarding.site.checks import Checks
from shaper.onboarding.site.consent_text import ConsentText, consent_texts
from shaper.onboarding.site.study import Study
from shaper.onboarding.site.trial import Piece
from shaper.onboarding.site.via import client_of, via_key

type Page = Callable[..., Any]


@dataclass(frozen=True)
class Site:
    """The site's parts."""

    roster: Roster
    study: Study
    addresses: Addresses
    secret: bytes
    certificate: Certificate | None = None
    pieces: tuple[Piece, ...] = ()
    open_to_all: bool = field(kw_only=True, default=False)
    trusts: Callable[[str], None] = field(kw_only=True, default=lambda _client: None)  # told who trusts the CA now
    checks: Checks = field(kw_only=True, default_factory=Checks)

    @cached_property
    def texts(self) -> Mapping[str, ConsentText]:
        return consent_texts(self.study)

    @cached_property
    def via_key(self) -> str:
        return via_key(self.secret)

    def welcome(self) -> None:
        """Before each request: set `g.visitor`, the person who asks, if it is one whom we know."""
        g.visitor = self._member(self.vouched_for() or str(session.get("client", "")))

    def vouched_for(self) -> str:
        """Return the pseudonym of whoever asks through the proxy with their credentials, else an empty one."""
        return client_of(request.headers, self.via_key)

    def sign_in(self, pseudonym: str, credential: str = "") -> None:
        """Make the visitor of this session the person of this pseudonym."""
        session.clear()
        session.permanent = True
        session["client"] = pseudonym
        if credential:
            session["credential"] = credential
        g.visitor = self._member(pseudonym)

    @property
    def link(self) -> str:
        """Return the visitor's own link to the site, while this session still knows it."""
        credential = str(session.get("credential", ""))
        return f"{self.addresses.own}/join/{credential}" if credential else ""

    def _member(self, pseudonym: str) -> Member | None:
        try:
            return self.roster.member(pseudonym)
        except UnknownVolunteerError:
            return None


def the_site() -> Site:
    """Return the site that answers this request."""
    found: Site = current_app.extensions["shaper"]
    return found


def for_members(page: Page) -> Page:
    """Send a visitor who never consented to the consent page."""

    @wraps(page)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        member = g.visitor
        return page(*args, **kwargs) if member and member.consent else to_consent()

    return guarded


def for_participants(page: Page) -> Page:
    """Send a visitor whose consent does not hold to the consent page."""

    @wraps(page)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        member = g.visitor
        return page(*args, **kwargs) if member and takes_part(member) else to_consent()

    return guarded


def takes_part(member: Member) -> bool:
    """Whether the consent holds, be the person paused or not."""
    return member.state in (State.TAKING_PART, State.PAUSED, State.OVER_BUDGET)


def to_consent() -> Response:
    """Redirect a page, refuse a change."""
    if request.method not in ("GET", "HEAD"):
        abort(409)
    return redirect(url_for("consent.consent"))

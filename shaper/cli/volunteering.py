"""Volunteers in a run: their roster, the study's site on its own port and behind the proxy, and the test's origin.

The test is there when the policy targets `test.shaper.lab`: the lab's own origin then answers for that name, slowed as
the policy says.
"""

import ssl
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import certifi
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from flask import Flask

from shaper.cli.address import written
from shaper.cli.people import People
from shaper.lab.origin import Origin
from shaper.lab.site import assets
from shaper.onboarding.forgetting import Forgetting
from shaper.onboarding.roster import Roster, open_roster
from shaper.onboarding.site.address import Addresses
from shaper.onboarding.site.app import change_study, make_site
from shaper.onboarding.site.certificate import Certificate
from shaper.onboarding.site.server import serve
from shaper.onboarding.site.study import Study
from shaper.onboarding.site.trial import Kind, Piece
from shaper.onboarding.site.via import introduction
from shaper.policy.judge import Judge
from shaper.policy.model import Policy
from shaper.policy.refused import RefusedError
from shaper.proxy.authority import Authority
from shaper.proxy.leaf import Leaves
from shaper.proxy.server import ConnectTo, Proxy, Settings, Site, authority_for
from shaper.proxy.site import CHECK
from shaper.record import private
from shaper.record.metrics import Metrics
from shaper.record.transfer import Recorder

TEST = "test.shaper.lab"
PIECES: tuple[tuple[Kind, str], ...] = (
    ("text", "/index.html"), ("photo", "/photos/dusk.jpg"), ("photo", "/photos/contours.png"),
    ("video", "/video/train.mp4"),
)  # fmt: skip


class Volunteering:
    """The parts, once they are up. Close the stack after the proxy and its journal: the roster erases journals last."""

    def __init__(
        self,
        people: People,
        policy: Policy,
        settings: Settings,
        *,
        journal: Path | None,
        metrics: Metrics,
        stack: ExitStack,
    ) -> None:
        self._people = people
        self.proxy: Proxy | None = None  # once it is up
        self.roster = self._open_roster(policy, journal, stack)
        self._study = Study(
            policy=policy,
            organisation=people.organisation,
            contact=people.contact,
            approval=people.approval,
            terms=people.terms,
            ca_days=settings.ca_days,
        )
        secret = private.ensure(people.database.with_name(f"{people.database.stem}-keys") / "site.key")
        authority = authority_for(policy, settings, CHECK)
        test = Judge(policy).listing(TEST).target != ""
        addresses = Addresses(own=people.own, proxy=people.proxy, lab=f"https://{TEST}" if test else "")
        self.app = make_site(
            self.roster,
            self._study,
            addresses,
            secret=secret,
            certificate=Certificate.read(authority.pem) if authority else None,
            pieces=_pieces() if test else (),
            open_to_all=people.open_to_all,
            trusts=lambda client: self.proxy.trusts(client) if self.proxy else None,
            count=lambda status: metrics.request_refused("site", status),
        )
        site = self._serve(self.app, authority, secret, stack)
        self.settings = replace(settings, site=site)
        if test:
            self._start_test(stack)
        metrics.before_scrape(lambda: metrics.volunteers(**self.roster.census()._asdict()))

    def recorders(self, journal: Recorder | None) -> Sequence[Recorder]:
        """Return the sinks: the journal, which forgets who is deleted, and each person's own list."""
        return [Forgetting(self.roster, journal), self.roster] if journal else [self.roster]

    def fits(self, policy: Policy) -> None:
        """Raise RefusedError for a policy that is another study's: consent was given to this one."""
        if policy.study != self._study.policy.study:
            raise RefusedError(
                f'volunteers consented to the study "{self._study.policy.study}", not "{policy.study}"',
                "start another proxy with a database of its own",
            )

    def change(self, policy: Policy) -> None:
        """Tell people of the policy that is in force now."""
        self._study = replace(self._study, policy=policy)
        change_study(self.app, self._study)

    def _open_roster(self, policy: Policy, journal: Path | None, stack: ExitStack) -> Roster:
        roster = open_roster(
            self._people.database, policy.study, terms=self._people.terms, journals=[journal] if journal else []
        )
        stack.callback(roster.close)
        return roster

    def _serve(self, app: Flask, authority: Authority | None, secret: bytes, stack: ExitStack) -> Site:
        host, port = self._people.site
        try:
            plain = serve(app, host, port)
        except OSError as error:
            raise RefusedError(
                f"--site: {written(self._people.site)}: {error.strerror}", "name another address"
            ) from None
        stack.callback(plain.close)
        secure = None
        if authority:
            secure = serve(app, tls=_tls(authority))
            stack.callback(secure.close)
        return Site(
            http=(plain.host, plain.port),
            https=(secure.host, secure.port) if secure else None,
            introduce=introduction(secret),
        )

    def _start_test(self, stack: ExitStack) -> None:
        """Answer for the test's name, and have the proxy believe that answer beside what it believes already."""
        origin = stack.enter_context(Origin([TEST]))
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="shaper-test-")))
        believed = self.settings.origin_ca or Path(certifi.where())
        bundle = directory / "origins.pem"
        bundle.write_bytes(believed.read_bytes() + b"\n" + origin.ca_pem.read_bytes())
        route = ConnectTo(TEST, 443, "127.0.0.1", origin.port)
        self.settings = replace(self.settings, origin_ca=bundle, connect_to=(*self.settings.connect_to, route))


def _pieces() -> tuple[Piece, ...]:
    return tuple(Piece(kind, path, assets()[path].size) for kind, path in PIECES)


def _tls(authority: Authority) -> ssl.SSLContext:
    """Return a TLS context that shows the study's certificate for the check host."""
    leaf = Leaves(authority).leaf(CHECK)
    key = leaf.privatekey.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with TemporaryDirectory(prefix="shaper-check-") as directory:
        chain = Path(directory) / "leaf.pem"
        private.make(chain, key + leaf.cert.to_pem())
        context.load_cert_chain(chain)
    return context

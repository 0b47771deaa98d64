"""A study, its roster and its site; and a whole lab in one process: origin, proxy, CA and site."""

import asyncio
import os
import re
import ssl
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from shaper.lab.origin import Origin
from shaper.onboarding.roster import Roster, open_roster
from shaper.onboarding.site.address import Addresses
from shaper.onboarding.site.app import make_site
from shaper.onboarding.site.certificate import Certificate
from shaper.onboarding.site.server import serve
from shaper.onboarding.site.study import Study
from shaper.onboarding.site.trial import Piece
from shaper.onboarding.site.via import introduction
from shaper.policy.model import Policy
from shaper.policy.verdict import Reason
from shaper.proxy.authority import ensure
from shaper.proxy.leaf import Leaves
from shaper.proxy.server import ConnectTo, Proxy, Settings, Site
from shaper.record.transfer import Outcome, TransferRecord

SECRET = b"a secret of 32 bytes for testing"
ORIGIN = "photos.example.org"
RIGHT = {"read": "targets", "keep": "figures", "stop": "press", "adult": "yes", "choice": "yes"}
PIECES = (
    Piece("text", "/index.html", 2984),
    Piece("photo", "/photos/dusk.jpg", 47194),
    Piece("photo", "/photos/contours.png", 25869),
    Piece("video", "/video/train.mp4", 109651),
)
RULES = [
    {
        "name": "photos-and-video",
        "target": "photos",
        "media": ["image", "video"],
        "arms": ["slow"],
        "caps": [{"rate": "400 kbit/s"}],
    }
]


def a_policy(**changes):
    return Policy.model_validate(
        {
            "version": 1,
            "study": "slow-photos",
            "description": "What slow photos do to reading",
            "targets": {"photos": {"hosts": [ORIGIN, "*.photos.example.org"]}},
            "never": ["bank.photos.example.org"],
            "arms": {"control": 1, "slow": 1},
            "rules": RULES,
            **changes,
        }
    )


def a_study(**changes):
    facts = {
        "policy": a_policy(),
        "organisation": "Network Lab, Example University",
        "contact": "slow-photos@example.org",
        "title": {"en": "Slow photos", "ru": "Медленные фото"},
        "purpose": {"en": "to learn what slow photos do to reading", "ru": "узнать, как медленные фото мешают читать"},
        "approval": "Example University IRB, 2026-17",
    }
    return Study(**{**facts, **changes})


def a_record(client, **changes):
    facts = {
        "id": "1", "time": "2026-03-12T09:00:00.000Z", "study": "slow-photos", "policy": "sha256:0", "client": client,
        "arm": "slow", "target": "photos", "rule": "photos-and-video", "media": "image", "reason": Reason.MATCHED,
        "rate": 400e3, "status": 200, "outcome": Outcome.COMPLETE, "size": 84_000, "received": 84_000,
        "origin_ttfb": 0.01, "client_ttfb": 0.02, "origin_duration": 0.1, "duration": 1.7, "waiting": 0.01,
        "receiving": 0.0, "held": 1.6, "stalled": 0.0,
    }  # fmt: skip
    return TransferRecord(**{**facts, **changes})


@pytest.fixture
def study():
    return a_study()


@pytest.fixture
def roster(tmp_path, study):
    roster = open_roster(tmp_path / "volunteers.sqlite", study.policy.study)
    yield roster
    roster.close()


@pytest.fixture
def refusals():
    return []


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    study = a_study()
    return ensure(tmp_path_factory.mktemp("ca"), [*study.hosts, "check.shaper.lab"], study.policy.study)


@pytest.fixture
def app(study, roster, refusals, authority):
    """The site of an open study."""
    addresses = Addresses(own="http://127.0.0.1:8081", proxy="127.0.0.1:8080", lab=f"https://{ORIGIN}")
    certificate = Certificate.read(authority.pem)
    app = make_site(
        roster, study, addresses, secret=SECRET, certificate=certificate, pieces=PIECES, open_to_all=True,
        count=refusals.append,
    )  # fmt: skip
    app.testing = True
    return app


class Visitor:
    """A browser without a screen: follows forms as a person would, tokens included."""

    def __init__(self, app):
        self.http = app.test_client()
        self.http.environ_base["HTTP_HOST"] = "127.0.0.1"

    def get(self, path, **more):
        return self.http.get(path, **more)

    def fields(self, page="/consent"):
        return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]+)"', self.get(page).text))

    def post(self, path, page="/consent", **fields):
        return self.http.post(path, data={**self.fields(page), **fields})

    def agree(self, **answers):
        return self.post("/consent", **{**RIGHT, **answers})


@pytest.fixture
def visitor(app):
    return Visitor(app)


@pytest.fixture
def participant(visitor):
    assert visitor.agree().location == "/joined"
    return visitor


@pytest.fixture
def shot():
    """Photograph a page for people to look at, when SHOTS names a directory."""
    directory = os.environ.get("SHOTS")

    def take(browser, name):
        if directory:
            browser.screenshot(Path(directory) / f"{name}.png")

    return take


@dataclass
class Lab:
    """What a lab runs for its volunteers, all on loopback."""

    study: Study
    roster: Roster
    own: str
    proxy: str
    ca_pem: Path

    def invite(self):
        """Return a credential and the link that carries it."""
        _, credential = self.roster.enrol()
        return credential, f"{self.own}/join/{credential.token}"


@pytest.fixture
def lab(tmp_path):
    """Start all of it with the real parts, and end it."""
    policy, check = a_policy(), Addresses(own="", proxy="").check
    study = a_study(policy=policy)
    with ExitStack() as stack:
        origin = stack.enter_context(Origin([ORIGIN]))
        authority = ensure(tmp_path / "ca", [*policy.targets["photos"].hosts, check], policy.study)
        roster = open_roster(tmp_path / "volunteers.sqlite", policy.study)
        stack.callback(roster.close)
        apps = []  # the site's, once the proxy's address is known

        def late(environ, start):
            return apps[0](environ, start)

        site = serve(late)
        stack.callback(site.close)
        secure = serve(late, tls=tls_for(authority, check, tmp_path))
        stack.callback(secure.close)
        settings = Settings(
            ca_dir=tmp_path / "ca",
            origin_ca=origin.ca_pem,
            require_auth=True,
            site=Site(http=("127.0.0.1", site.port), https=("127.0.0.1", secure.port), introduce=introduction(SECRET)),
            connect_to=(ConnectTo(ORIGIN, 443, "127.0.0.1", origin.port),),
        )
        proxy = stack.enter_context(proxying(policy, settings, roster))
        own = f"http://127.0.0.1:{site.port}"
        addresses = Addresses(own=own, proxy=proxy, lab=f"https://{ORIGIN}")
        certificate = Certificate.read(authority.pem)
        apps.append(make_site(roster, study, addresses, secret=SECRET, certificate=certificate, pieces=PIECES))
        yield Lab(study, roster, own, proxy, authority.pem)


def tls_for(authority, host, directory):
    """Return a server's TLS context with a leaf of the lab's CA."""
    leaf = Leaves(authority).leaf(host)
    file = directory / "check.pem"
    file.write_bytes(
        leaf.privatekey.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + leaf.cert.to_pem()
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


@contextmanager
def proxying(policy, settings, roster):
    """Run the proxy in a thread of its own; its address is the value."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start():
        proxy = Proxy(policy, settings, [roster], registry=roster, key=SECRET)
        await proxy.start()
        return proxy

    proxy = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    try:
        yield "{}:{}".format(*proxy.address)
    finally:
        asyncio.run_coroutine_threadsafe(proxy.stop(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

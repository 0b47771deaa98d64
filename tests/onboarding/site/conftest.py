"""A study, its roster and its site; and a whole lab as a process, origin, proxy, CA and all."""

import os
import re
from pathlib import Path

import pytest

from shaper.cli.volunteering import TEST
from shaper.onboarding.roster import open_roster
from shaper.onboarding.site.address import Addresses
from shaper.onboarding.site.app import make_site
from shaper.onboarding.site.certificate import Certificate
from shaper.onboarding.site.study import Study
from shaper.onboarding.site.trial import Piece
from shaper.policy.model import Policy
from shaper.policy.verdict import Reason
from shaper.proxy.authority import ensure
from shaper.record.transfer import Outcome, TransferRecord
from tests.running_study import RIGHT, running_study

SECRET = b"a secret of 32 bytes for testing"
ORIGIN = "photos.example.org"
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


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The real thing: a process, its people, its site, its proxy."""
    home = tmp_path_factory.mktemp("lab")
    targets = {"photos": {"hosts": [ORIGIN, "*.photos.example.org", TEST]}}
    with running_study(home, a_policy(targets=targets).model_dump_json(exclude_unset=True)) as study:
        yield study

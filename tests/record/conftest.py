"""Records and policies to test with."""

import pytest

from shaper.policy.model import Policy
from shaper.record.metrics import Metrics
from shaper.record.transfer import Outcome, TransferRecord


@pytest.fixture(scope="session")
def make_policy():
    """Make a study's policy with two rules, two arms and two phases, but for the changes given."""

    def make(**changes):
        return Policy.model_validate(STUDY | changes)

    return make


@pytest.fixture
def policy(make_policy):
    return make_policy()


STUDY = {
    "version": 1,
    "study": "twitter-2021",
    "targets": {"media": {"hosts": ["*.example.net"]}},
    "arms": {"control": 1.0, "treatment": 1.0},
    "phases": [
        {"name": "before", "start": "2021-03-01T00:00:00Z"},
        {"name": "slow", "start": "2021-03-10T07:00:00Z"},
    ],
    "rules": [
        {"name": "photos", "target": "media", "media": ["image"], "caps": [{"rate": "150 kbit/s"}]},
        {"name": "clips", "target": "media", "media": ["video"], "caps": [{"rate": "1 Mbit/s"}]},
    ],
}


@pytest.fixture
def metrics(policy):
    """Metrics with that policy in force, at a clock that stands at 1000 s."""
    metrics = Metrics(clock=lambda: 1000.0)
    metrics.policy_loaded(policy)
    return metrics


@pytest.fixture(scope="session")
def make_record():
    """Make a slowed photo's record, but for the changes given."""

    def make(**changes):
        values = {
            "id": "0123456789abcdef",
            "time": "2021-03-11T09:00:00.000Z",
            "study": "twitter-2021",
            "policy": "sha256:" + "0" * 64,
            "arm": "treatment",
            "phase": "slow",
            "target": "media",
            "rule": "photos",
            "media": "image",
            "evidence": "content-type",
            "reason": "matched",
            "manner": "smooth",
            "scope": "response",
            "rate": 150_000.0,
            "burst": 2048,
            "client_protocol": "h2",
            "origin_protocol": "h1",
            "status": 200,
            "outcome": Outcome.COMPLETE,
            "size": 100_000,
            "received": 100_000,
            "origin_ttfb": 0.02,
            "client_ttfb": 0.021,
            "origin_duration": 0.1,
            "duration": 5.3125,
            "waiting": 0.0625,
            "receiving": 0.125,
            "held": 5.0,
            "stalled": 0.125,
            "achieved": 150_300.0,
            "rate_ratio": 1.002,
        }
        return TransferRecord(**(values | changes))

    return make

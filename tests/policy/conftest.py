"""A small policy to bend, and clients to judge by it."""

from datetime import UTC, datetime

import pytest

from shaper.policy.model import Policy

NOON = datetime(2021, 3, 12, 12, tzinfo=UTC)


@pytest.fixture
def now():
    return NOON


@pytest.fixture
def policy():
    """Make a policy of these rules; each lacks only what it does not say."""

    def make(*rules, **keys):
        hosts = {"media": {"hosts": ["*.twimg.com"]}, "site": {"hosts": ["twitter.com"]}}
        named = [{"name": f"rule-{number}", "target": "media", **rule} for number, rule in enumerate(rules, 1)]
        return Policy.model_validate({"version": 1, "study": "s", "targets": hosts, "rules": named, **keys})

    return make

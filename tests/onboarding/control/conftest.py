"""The control API over a lab that only remembers, with a real roster and a real audit log."""

import pytest
from remembering_proxy import CONFIGURATION, TOKEN, RememberingProxy

from shaper.onboarding.control.app import make_control
from shaper.onboarding.control.audit import AuditLog


@pytest.fixture
def lab():
    return RememberingProxy()


@pytest.fixture
def log(tmp_path):
    log = AuditLog(tmp_path / "audit.jsonl")
    yield log
    log.close()


@pytest.fixture
def app(lab, log, roster):
    return make_control(lab, CONFIGURATION, TOKEN, log, roster=roster)


@pytest.fixture
def ask(app):
    """Send a request as the token's holder would, except for what is changed; return the response."""
    client = app.test_client()

    def ask(method, path, **options):
        headers = {"Authorization": f"Bearer {TOKEN}", "Operator": "ann", "Host": "127.0.0.1:9000"}
        headers |= options.pop("headers", {})
        return client.open(path, method=method, headers={k: v for k, v in headers.items() if v is not None}, **options)

    return ask

"""Whom the proxy asks for credentials, where, and what becomes of them."""

from base64 import b64encode
from types import SimpleNamespace

import pytest
from mitmproxy.test import tflow

from shaper.proxy.authenticating import Authenticating
from shaper.record.metrics import Metrics


class Registry:
    def authenticate(self, username, password):
        return "ann" if (username, password) == ("user", "right") else None


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def ask(metrics):
    """Send a request through the addon; return how it was answered, if it was, and as whom it passed."""

    def ask(host, *, password=None, required=True, connect=False):
        flow = tflow.tflow()
        flow.request.host = host
        if password:
            flow.request.headers["proxy-authorization"] = f"Basic {b64encode(f'user:{password}'.encode()).decode()}"
        visitor = SimpleNamespace(authenticated=False, key="")
        addon = Authenticating(Registry(), {flow.client_conn.id: visitor}, metrics, required=required, site=True)
        (addon.http_connect if connect else addon.requestheaders)(flow)
        assert "proxy-authorization" not in flow.request.headers
        return flow.response and flow.response.status_code, visitor.key

    return ask


@pytest.mark.parametrize("connect", [False, True])
def test_who_names_nobody_is_asked_and_who_names_somebody_passes_as_them(ask, connect):
    assert ask("photos.example.org", connect=connect) == (407, "")
    assert ask("photos.example.org", connect=connect, password="wrong") == (407, "")
    assert ask("photos.example.org", connect=connect, password="right") == (None, "ann")


def test_the_site_is_free_and_the_check_host_only_over_tls(ask):
    assert ask("shaper.lab") == (None, "")
    assert ask("check.shaper.lab", connect=True) == (None, "")
    assert ask("check.shaper.lab") == (407, "")


def test_where_nobody_need_be_named_the_check_host_still_asks_or_no_browser_would_ever_tell(ask):
    assert ask("photos.example.org", required=False) == (None, "")
    assert ask("check.shaper.lab", required=False) == (407, "")
    assert ask("check.shaper.lab", required=False, password="right") == (None, "ann")


def test_wrong_credentials_are_counted_and_missing_ones_are_not(ask, metrics):
    ask("photos.example.org")
    ask("photos.example.org", password="wrong")
    ask("shaper.lab", password="wrong")
    labels = {"surface": "proxy", "status": "407"}
    assert metrics.registry.get_sample_value("shaper_refused_requests_total", labels) == 2

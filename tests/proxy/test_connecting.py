"""Where sockets go: routes, and destinations that nobody is taken to."""

from types import SimpleNamespace

import pytest
from mitmproxy.connection import ConnectionState, Server

from shaper.policy.destination import Destinations
from shaper.proxy import connecting as module
from shaper.proxy.connecting import Connecting, ConnectTo
from shaper.record.metrics import Metrics


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def resolves(monkeypatch):
    """Say what names resolve to."""
    asked = []

    def resolves(*addresses):
        async def resolve(host, port):
            asked.append(host)
            return list(addresses)

        monkeypatch.setattr(module, "_resolve", resolve)
        return asked

    return resolves


async def connect(connecting, host, port=443):
    """Return the server, and where its socket went."""
    data = SimpleNamespace(server=Server(address=(host, port)), client=None)
    await connecting.server_connect(data)
    went = data.server.address
    if not data.server.error:
        data.server.state = ConnectionState.OPEN
        connecting.server_connected(data)
    else:
        connecting.server_connect_error(data)
    return data.server, went


@pytest.mark.parametrize(
    ("route", "asked"),
    [
        (("www.media.test", 443), "www.media.test"),
        (("www.media.test", 443), "WWW.Media.TEST."),
        (("bücher.test", 443), "xn--bcher-kva.test"),
        (("::1", 443), "::1"),
        (("0:0::1", 443), "::1"),
    ],
)
async def test_a_route_leads_elsewhere_and_the_address_asked_for_is_put_back(metrics, route, asked):
    connecting = Connecting([ConnectTo(*route, "127.0.0.1", 8443)], None, metrics)
    server, went = await connect(connecting, asked)
    assert went == ("127.0.0.1", 8443)
    assert server.address == (asked, 443)


async def test_another_port_is_another_route(metrics):
    connecting = Connecting([ConnectTo("www.media.test", 443, "127.0.0.1", 8443)], None, metrics)
    _, went = await connect(connecting, "www.media.test", 80)
    assert went == ("www.media.test", 80)


async def test_without_rules_names_are_left_to_mitmproxy(metrics, resolves):
    asked = resolves("127.0.0.1")
    _, went = await connect(Connecting([], None, metrics), "www.media.test")
    assert (went, asked) == (("www.media.test", 443), [])


async def test_a_name_is_resolved_once_and_connected_to_by_what_was_judged(metrics, resolves):
    asked = resolves("8.8.8.8", "8.8.4.4")
    server, went = await connect(Connecting([], Destinations.parse([]), metrics), "www.media.test")
    assert (went, asked, server.address) == (("8.8.8.8", 443), ["www.media.test"], ("www.media.test", 443))


@pytest.mark.parametrize(
    ("address", "reason"),
    [("127.0.0.1", "loopback"), ("169.254.169.254", "metadata"), ("10.0.0.1", "private"), ("::1", "loopback")],
)
async def test_a_name_that_leads_inside_is_not_connected_to(metrics, resolves, address, reason):
    resolves("8.8.8.8", address)
    server, _ = await connect(Connecting([], Destinations.parse([]), metrics), "www.media.test")
    assert reason in server.error
    assert metrics.registry.get_sample_value("shaper_refused_destinations_total", {"reason": reason}) == 1


async def test_a_route_is_the_operators_own_word(metrics, resolves):
    resolves("127.0.0.1")
    routes = [ConnectTo("www.media.test", 443, "127.0.0.1", 8443)]
    server, went = await connect(Connecting(routes, Destinations.parse([]), metrics), "www.media.test")
    assert (went, server.error) == (("127.0.0.1", 8443), None)


async def test_a_name_that_does_not_resolve_is_left_to_fail_by_itself(metrics, resolves):
    resolves()
    server, went = await connect(Connecting([], Destinations.parse([]), metrics), "nowhere.test")
    assert (went, server.error) == (("nowhere.test", 443), None)

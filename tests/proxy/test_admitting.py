"""Transcripts of connections up to the point where it is decided what the proxy may see of them."""

import ssl
from types import SimpleNamespace

import pytest
from mitmproxy.addons.next_layer import NextLayer
from mitmproxy.proxy.layers import modes
from mitmproxy.proxy.layers.tls import ServerTLSLayer
from mitmproxy.test import taddons

from shaper.policy.admission import Standing
from shaper.policy.verdict import Reason
from shaper.proxy.admitting import Admitting
from shaper.proxy.stream import ShapedHttpLayer
from shaper.proxy.tunnel import ShapedTunnel
from tests.proxy.conftest import policy

TARGET, OTHER = "www.media.test", "www.other.test"
WHOLE = {"level": "connection", "media": None, "caps": [{"scope": "connection", "rate": "8 kbit/s", "burst": "100 B"}]}
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


def hello(name: str) -> bytes:
    """Return a real ClientHello for `name`."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


@pytest.fixture
def admitting(shaping):
    return Admitting(shaping, None, Standing())


@pytest.fixture
def connect(book, admitting, visitor):
    """Ask for a tunnel; the layers are chosen by Admitting and by mitmproxy's own NextLayer behind it."""
    chooser = NextLayer()

    def connect(host: str, data: bytes = b""):
        admitting.attach(chooser, {})
        admitting.visitors[book.client.id] = visitor
        book.chosen = []

        def choose(choice):
            admitting.next_layer(choice)
            book.chosen.append(choice.layer)

        book.hooks |= {"next_layer": choose, "http_connect": admitting.http_connect}
        book.start(modes.HttpProxy(book.context))
        book.receive("client", f"CONNECT {host}:443 HTTP/1.1\r\n\r\n".encode())
        return book.receive("client", data) if data else book

    with taddons.context(chooser):
        yield connect


def intercepts(book) -> bool:
    return any(isinstance(each, ServerTLSLayer) for each in book.chosen)


async def test_an_untargeted_connection_is_relayed_to_the_byte(connect):
    data = hello(OTHER)
    book = connect(OTHER, data)
    assert book.to("origin") == data
    book.to("client")
    book.receive("origin", b"\x16\x03\x03\x00\x02hi")
    assert book.to("client") == b"\x16\x03\x03\x00\x02hi"


@pytest.mark.parametrize(("asked", "name"), [(TARGET, TARGET), (TARGET, OTHER), (OTHER, TARGET)])
async def test_a_target_is_intercepted_by_either_name(connect, asked, name):
    book = connect(asked, hello(name))
    assert intercepts(book)
    assert book.to("origin") == b""


async def test_a_client_hello_in_pieces_is_waited_for(connect):
    data = hello(TARGET)
    book = connect(OTHER)
    for at in range(len(data) - 1):
        book.receive("client", data[at : at + 1])
    assert book.to("origin") == b""
    assert not intercepts(book)
    book.receive("client", data[-1:])
    assert intercepts(book)


async def test_a_client_hello_in_pieces_of_an_untargeted_host_is_passed_on_whole(connect):
    data = hello(OTHER)
    book = connect(OTHER)
    for at in range(0, len(data), 100):
        book.receive("client", data[at : at + 100])
    assert book.to("origin") == data


async def test_tls_without_a_name_goes_by_the_name_asked_for(connect):
    data = hello("192.0.2.7")  # no SNI is sent for an address
    assert intercepts(connect(TARGET, data))


async def test_tls_without_a_name_for_an_address_is_relayed(connect):
    data = hello("192.0.2.7")
    assert connect("192.0.2.7", data).to("origin") == data


@pytest.mark.parametrize("reason", [Reason.NO_CONSENT, Reason.PAUSED, Reason.OVER_BUDGET])
async def test_whoever_takes_no_part_is_not_decrypted(connect, admitting, visitor, shaping, reason):
    visitor.anonymous = Standing(exempt=reason)
    data = hello(TARGET)
    assert connect(TARGET, data).to("origin") == data
    count = shaping.metrics.registry.get_sample_value
    assert count("shaper_connections_total", {"admission": "tunnelled", "reason": reason}) == 1


async def test_a_host_on_the_never_list_is_not_decrypted(connect, shaping):
    targets = policy().model_copy(update={"never": ("www.media.test",)})
    shaping.swap(targets)
    data = hello(TARGET)
    assert connect(TARGET, data).to("origin") == data


async def test_a_rule_for_whole_connections_slows_the_handshake_with_the_rest(connect, shaping):
    shaping.swap(policy(direction="up", **WHOLE))
    data = hello(TARGET)
    book = connect(OTHER, data)
    assert isinstance(book.chosen[-1], ShapedTunnel)
    assert book.to("origin") == data[:100]
    book.wait(len(data) / 1000)
    assert book.to("origin") == data[100:]


async def test_a_refused_connection_is_never_made(connect, shaping, records):
    shaping.swap(policy(**WHOLE | {"caps": None, "block": "refuse"}))
    book = connect(TARGET)
    assert ("origin", "open") not in book.done
    assert book.to("client").startswith(b"HTTP/1.1 403 ")
    assert [record.outcome for record in records] == ["blocked"]


async def test_a_connection_refused_by_its_sni_is_closed_on_both_sides(connect, shaping, records):
    shaping.swap(policy(**WHOLE | {"caps": None, "block": "refuse"}))
    book = connect(OTHER, hello(TARGET))
    assert book.to("origin") == b""
    assert {("origin", "close"), ("client", "close")} <= set(book.done)
    assert [record.outcome for record in records] == ["blocked"]


async def test_a_volunteers_app_that_refuses_our_certificate_is_left_alone_from_then_on(
    connect, admitting, book, shaping
):
    book.client.sni = TARGET
    admitting.registry = object()  # volunteers are known
    admitting.visitors[book.client.id] = SimpleNamespace(key="192.0.2.1")
    book.client.error = "sslv3 alert bad certificate"
    admitting.tls_failed_client(SimpleNamespace(context=book.context, conn=book.client))
    data = hello(TARGET)
    assert connect(TARGET, data).to("origin") == data
    assert shaping.metrics.registry.get_sample_value("shaper_fallbacks_total", {"reason": "tls"}) == 1


async def test_a_decision_that_fails_leaves_the_connection_alone_and_is_counted(connect, shaping, monkeypatch):
    monkeypatch.setattr(shaping.judge, "listing", lambda host: 1 / 0)
    data = hello(TARGET)
    assert connect(TARGET, data).to("origin") == data
    assert shaping.metrics.registry.get_sample_value("shaper_fallbacks_total", {"reason": "admission"}) >= 1


async def test_plain_http_in_a_tunnel_to_a_target_is_shaped_and_to_others_relayed(connect):
    request = b"GET /photo HTTP/1.1\r\nhost: www.media.test\r\n\r\n"
    book = connect(TARGET, request)
    assert isinstance(book.chosen[-1], ShapedHttpLayer)
    assert book.to("origin") == request


async def test_other_protocols_in_a_tunnel_pass(connect):
    book = connect(OTHER, b"\x00\x01\x02\x03 not HTTP")
    assert book.to("origin") == b"\x00\x01\x02\x03 not HTTP"
    book.to("client")
    book.receive("origin", b"\xff\xfe")
    assert book.to("client") == b"\xff\xfe"


async def test_a_server_that_speaks_first_is_heard(connect):
    book = connect(OTHER)
    book.to("client")
    book.receive("origin", b"220 ready\r\n")
    assert book.to("client") == b"220 ready\r\n"

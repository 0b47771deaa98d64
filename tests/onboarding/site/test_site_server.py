"""The site on its own port: real sockets, malformed bytes, and nothing written down about anybody."""

import logging
import socket
import urllib.request
from contextlib import suppress

import pytest

from shaper.onboarding.site.server import serve


@pytest.fixture
def serving(app):
    serving = serve(app)
    yield serving
    serving.close()


def ask(serving, request):
    with socket.create_connection((serving.host, serving.port), timeout=20) as connection:
        with suppress(OSError):  # refused while we were still sending
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        with suppress(ConnectionResetError):
            while part := connection.recv(65536):
                answer += part
        return answer


def test_a_page_is_served(serving):
    with urllib.request.urlopen(f"http://127.0.0.1:{serving.port}/", timeout=20) as answer:
        assert answer.status == 200
        assert answer.url.endswith("/consent")


def test_a_site_may_be_closed_as_soon_as_it_is_there(app):
    for _ in range(20):
        serving = serve(app)
        serving.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((serving.host, serving.port), timeout=20)


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /consent HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET /consent HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"POST /stop HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999\r\n\r\n",
        b"POST /stop HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /stop HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_malformed_requests_are_refused_and_the_site_goes_on(serving, request_):
    answer = ask(serving, request_)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    test_a_page_is_served(serving)


def test_nothing_about_a_request_is_logged(serving, caplog):
    caplog.set_level(logging.DEBUG)
    for path in (b"/consent?canary", b"/join/canary", b"/nowhere/canary"):
        ask(
            serving, b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: canary\r\nCookie: shaper=canary\r\n\r\n" % path
        )
    ask(serving, b"GET /canary HTTP/1.1\r\nHost: canary.example\r\n\r\n")
    ask(serving, b"canary\r\n\r\n")
    assert "canary" not in caplog.text
    assert "127.0.0.1" not in caplog.text


def test_closing_frees_the_port(app):
    first = serve(app)
    first.close()
    second = serve(app, port=first.port)
    test_a_page_is_served(second)
    second.close()

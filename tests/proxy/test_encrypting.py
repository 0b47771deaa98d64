"""What is encrypted is what the other end decrypts, byte for byte, in records of any size."""

import socket
import subprocess
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from shaper.lab.authority import server_context
from shaper.proxy import encrypting

WAYS = [encrypting._by_parts, encrypting._by_methods]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    home = tmp_path_factory.mktemp("encrypting")
    server_context(["media.test"], ["http/1.1"], home)
    return home


class Pair:
    """A server's end as mitmproxy has it, and a client's."""

    def __init__(self, certificate, version=SSL.TLS1_3_VERSION):
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate_chain_file(str(certificate / "leaf.pem"))
        context.use_privatekey_file(str(certificate / "leaf.pem"))
        context.set_max_proto_version(version)
        self.tls, self.fresh = SSL.Connection(context), SSL.Connection(context)
        self.tls.set_accept_state()
        self.fresh.set_accept_state()
        theirs = SSL.Context(SSL.TLS_CLIENT_METHOD)
        self.client = SSL.Connection(theirs)
        self.client.set_connect_state()
        for _ in range(3):
            for one, other in ((self.client, self.tls), (self.tls, self.client)):
                with suppress(SSL.WantReadError):
                    one.do_handshake()
                with suppress(SSL.WantReadError):
                    other.bio_write(one.bio_read(1 << 16))

    def decrypted(self, data):
        """Return what the client makes of it."""
        parts = []
        for start in range(0, len(data), 10_000):
            self.client.bio_write(data[start : start + 10_000])
            with suppress(SSL.WantReadError):
                while True:
                    parts.append(self.client.recv(1 << 16))
        return b"".join(parts)


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
@pytest.mark.parametrize("encrypt", WAYS)
@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.one_of(st.integers(1, 2000), st.sampled_from([16_384, 16_385, 65_500, 200_000])), max_size=4))
def test_any_bytes_arrive_as_they_were(certificate, version, encrypt, sizes):
    pair = Pair(certificate, version)
    for size in sizes:
        data = bytes(index * 7 % 251 for index in range(size))
        assert pair.decrypted(encrypt(pair.tls, data)) == data
    with pytest.raises(SSL.WantReadError):
        pair.tls.bio_read(100)  # nothing is left behind


@pytest.mark.parametrize("encrypt", WAYS)
def test_a_client_that_asks_for_small_records_gets_every_byte_once(certificate, encrypt):
    """One SSL_write then takes less than it is given."""
    data = bytes(index * 7 % 251 for index in range(40_000))
    tls = Pair(certificate).fresh
    with socket.create_server(("127.0.0.1", 0)) as listener:
        to = "{}:{}".format(*listener.getsockname())
        command = ["openssl", "s_client", "-quiet", "-maxfraglen", "512", "-connect", to]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as client:
            connection, _ = listener.accept()
            with connection:
                while True:
                    try:
                        tls.do_handshake()
                        break
                    except SSL.WantReadError:
                        with suppress(SSL.WantReadError):
                            connection.sendall(tls.bio_read(1 << 16))
                        tls.bio_write(connection.recv(1 << 16))
                connection.sendall(tls.bio_read(1 << 16))
                records = encrypt(tls, data)
                connection.sendall(records)
                connection.shutdown(socket.SHUT_WR)
                assert client.stdout.read() == data
    assert len(records) > len(data) + 78 * 17  # so many records of 512 bytes


def test_a_failure_is_an_error_of_the_library(certificate):
    pair = Pair(certificate)
    pair.tls.shutdown()
    with pytest.raises(SSL.Error):
        encrypting.encrypt(pair.tls, b"too late")


def test_the_quick_way_is_there_and_is_taken():
    assert encrypting.encrypt is encrypting._by_parts

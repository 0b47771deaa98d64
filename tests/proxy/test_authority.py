"""The CA signs for the study's targets only, and every client that was tried holds it to that."""

import os
import signal
import socket
import ssl
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from shaper.policy.model import Contains
from shaper.policy.refused import RefusedError
from shaper.proxy.authority import ensure
from shaper.proxy.leaf import Leaves

TARGETS = ["inside.example", "*.cdn.example"]
ACCEPTED = ["inside.example", "deep.cdn.example"]
OUTSIDE = "outside.example"


class Server:
    """A TLS server with a leaf of the CA for every name, which notes per name what a client did."""

    def __init__(self, leaves, directory, names):
        self.requests, self.refusals = [], []
        self.contexts = {name: self.context(leaves, directory, name) for name in names}
        self.base = self.context(leaves, directory, names[0])
        self.base.sni_callback = self.choose
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    @staticmethod
    def context(leaves, directory, name):
        entry, file = leaves.leaf(name), directory / f"{name}.pem"
        key = entry.privatekey.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(key + entry.cert.to_pem())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def choose(self, connection, name, _):
        connection.context = self.contexts.get(name, self.base)
        connection.name = name

    def serve(self):
        while True:
            accepted, _ = self.socket.accept()
            threading.Thread(target=self.answer, args=(accepted,), daemon=True).start()

    def answer(self, accepted):
        connection = self.base.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
        try:
            connection.do_handshake()
            if connection.recv(4096).startswith(b"GET / "):
                self.requests.append(connection.name)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\n<p>served")
            connection.close()
        except OSError as error:  # ssl.SSLError is one
            if "ALERT" in str(error):
                self.refusals.append(connection.name)

    def wait_for(self, name, seconds=60):
        deadline = time.monotonic() + seconds
        while name not in self.requests + self.refusals:
            assert time.monotonic() < deadline, f"no client came for {name}"
            time.sleep(0.05)


@pytest.fixture
def authority(tmp_path):
    return ensure(tmp_path / "ca", TARGETS, "study-1")


@pytest.fixture
def server(authority, tmp_path):
    return Server(Leaves(authority), tmp_path, [*ACCEPTED, OUTSIDE])


def trust(nss_directory, pem):
    """Import the CA as a person would, into a fresh NSS database."""
    nss_directory.mkdir(parents=True, exist_ok=True)
    for arguments in (["-N", "--empty-password"], ["-A", "-t", "C,,", "-n", "lab", "-i", str(pem)]):
        subprocess.run(["certutil", "-d", f"sql:{nss_directory}", *arguments], check=True, timeout=30)


def visit(server, command, env, name):
    """Run a browser until it has fetched the page or refused the certificate, then end it with its children."""
    browser = subprocess.Popen(
        command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        server.wait_for(name)
    finally:
        os.killpg(browser.pid, signal.SIGKILL)
        browser.wait()


def test_openssl_accepts_names_inside_the_constraints_and_no_other(authority, tmp_path, needs):
    openssl = needs("openssl", "apt-get install openssl")
    leaves = Leaves(authority)
    for name, accepted in [*((name, True) for name in ACCEPTED), (OUTSIDE, False), ("192.0.2.1", False)]:
        leaf = tmp_path / "leaf.pem"
        leaf.write_bytes(leaves.leaf(name).cert.to_pem())
        command = [openssl, "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", authority.pem, leaf]
        result = subprocess.run(command, check=False, capture_output=True, text=True)
        assert (result.returncode == 0) is accepted, result.stderr
        if not accepted:
            assert "subtree violation" in result.stderr


def test_curl_accepts_names_inside_the_constraints_and_no_other(authority, server, needs):
    curl = needs("curl", "apt-get install curl")
    for name in [*ACCEPTED, OUTSIDE]:
        resolve = f"{name}:{server.port}:127.0.0.1"
        command = [curl, "-sS", "--cacert", authority.pem, "--resolve", resolve, f"https://{name}:{server.port}/"]
        result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
        assert result.stdout == ("<p>served" if name in ACCEPTED else ""), result.stderr
    assert server.requests == ACCEPTED


def test_chromium_accepts_names_inside_the_constraints_and_no_other(authority, server, tmp_path, needs):
    chromium = needs("chromium", "apt-get install chromium")
    needs("certutil", "apt-get install libnss3-tools")
    trust(tmp_path / ".pki/nssdb", authority.pem)
    for name in [*ACCEPTED, OUTSIDE]:
        command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / name}"]
        command += [f"--host-resolver-rules=MAP *.example 127.0.0.1:{server.port}", f"https://{name}/"]
        visit(server, command, {**os.environ, "HOME": str(tmp_path)}, name)
    assert (set(server.requests), set(server.refusals)) == (set(ACCEPTED), {OUTSIDE})


def test_firefox_accepts_names_inside_the_constraints_and_no_other(authority, server, tmp_path, needs):
    firefox = needs("firefox-esr", "apt-get install firefox-esr")
    needs("certutil", "apt-get install libnss3-tools")
    for name in [*ACCEPTED, OUTSIDE]:
        profile = tmp_path / f"profile-{name}"
        trust(profile, authority.pem)
        profile.joinpath("user.js").write_text(
            f'user_pref("network.dns.localDomains", "{name}");'
            'user_pref("network.captive-portal-service.enabled", false);'
        )
        command = [firefox, "--headless", "--no-remote", "--profile", str(profile), f"https://{name}:{server.port}/"]
        visit(server, command, {**os.environ, "HOME": str(tmp_path)}, name)
    assert (set(server.requests), set(server.refusals)) == (set(ACCEPTED), {OUTSIDE})


def test_the_authority_is_kept_between_runs(authority, tmp_path):
    again = ensure(tmp_path / "ca", TARGETS, "study-1")
    assert again.fingerprint == authority.fingerprint
    assert again.names == authority.names == ("cdn.example", "inside.example")


def test_the_certificate_for_people_holds_no_key_and_the_key_is_its_owners(authority):
    assert authority.pem.read_text().count("BEGIN") == 1
    assert "PRIVATE" not in authority.pem.read_text()
    assert authority.pem.with_name("shaper-ca-key.pem").stat().st_mode & 0o777 == 0o600
    assert "PrivateKey" not in repr(authority)


def test_the_authority_lives_for_ninety_days_unless_told_otherwise(authority, tmp_path):
    day, now = timedelta(days=1), datetime.now(UTC)
    assert 89 * day < authority.not_after - now <= 90 * day
    assert ensure(tmp_path / "short", TARGETS, "study-1", days=7).not_after - now < 8 * day


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_may_use_is_refused(authority, tmp_path, mode):
    authority.pem.with_name("shaper-ca-key.pem").chmod(mode)
    with pytest.raises(RefusedError, match=rf"others may use it \(mode {mode:04o}\); .*chmod 600"):
        ensure(tmp_path / "ca", TARGETS, "study-1")


def test_an_expired_authority_is_refused_with_its_remedy(tmp_path):
    with pytest.raises(RefusedError, match=r"expired on 20.*; delete .*shaper-ca\.pem and .*; a new one is made"):
        ensure(tmp_path / "ca", TARGETS, "study-1", days=0)


@pytest.mark.usefixtures("authority")
def test_an_authority_that_lives_longer_than_promised_is_refused(tmp_path):
    with pytest.raises(RefusedError, match="good for longer than 30 days; name more with --ca-days, or delete"):
        ensure(tmp_path / "ca", ["cdn.example"], "study-1", days=30)


@pytest.mark.usefixtures("authority")
def test_an_authority_that_does_not_cover_a_target_is_refused(tmp_path):
    with pytest.raises(RefusedError, match=r"does not cover the target other\.example"):
        ensure(tmp_path / "ca", [*TARGETS, "other.example"], "study-1")


@pytest.mark.usefixtures("authority")
def test_an_authority_serves_a_narrower_policy(tmp_path):
    assert ensure(tmp_path / "ca", ["a.cdn.example"], "study-1").covers("b.cdn.example")


@pytest.mark.usefixtures("authority")
def test_an_authority_belongs_to_its_study(tmp_path):
    with pytest.raises(RefusedError, match='made for the study "study-1", not "study-2"'):
        ensure(tmp_path / "ca", TARGETS, "study-2")


def test_a_foreign_or_damaged_authority_is_refused(authority, tmp_path):
    other = ensure(tmp_path / "other", TARGETS, "study-1")
    authority.pem.write_bytes(other.pem.read_bytes())
    with pytest.raises(RefusedError, match="is not this certificate's"):
        ensure(tmp_path / "ca", TARGETS, "study-1")
    authority.pem.write_text("nonsense")
    with pytest.raises(RefusedError, match="not one that shaper made"):
        ensure(tmp_path / "ca", TARGETS, "study-1")
    authority.pem.unlink()
    with pytest.raises(RefusedError, match="certificate or key is missing"):
        ensure(tmp_path / "ca", TARGETS, "study-1")


def test_a_contains_pattern_is_not_covered_but_named(tmp_path):
    authority = ensure(tmp_path / "ca", ["t.co", Contains(contains="t.co")], "study-1")
    assert authority.covers("t.co")
    assert not authority.covers("reddit.com")
    assert not authority.covers("microsoft.com")


def test_only_contains_patterns_make_no_authority(tmp_path):
    with pytest.raises(RefusedError, match="no target names a host"):
        ensure(tmp_path / "ca", [Contains(contains="t.co")], "study-1")
    assert not (tmp_path / "ca").exists()


@pytest.mark.parametrize("pattern", ["*.com", "co.uk"])
def test_a_whole_public_suffix_is_no_constraint(tmp_path, pattern):
    with pytest.raises(RefusedError, match="no one's domain"):
        ensure(tmp_path / "ca", [pattern], "study-1")


def test_a_target_by_address_permits_that_address_and_no_host_name(tmp_path, needs):
    openssl = needs("openssl", "apt-get install openssl")
    authority = ensure(tmp_path / "ca", ["192.0.2.7"], "study-1")
    leaves, leaf = Leaves(authority), tmp_path / "leaf.pem"
    for name, accepted in [("192.0.2.7", True), ("192.0.2.8", False), ("any.example", False), ("2001:db8::1", False)]:
        assert authority.covers(name) is accepted
        leaf.write_bytes(leaves.leaf(name).cert.to_pem())
        command = [openssl, "verify", "-purpose", "sslserver", "-CAfile", authority.pem, leaf]
        result = subprocess.run(command, check=False, capture_output=True, text=True)
        assert (result.returncode == 0) is accepted, (name, result.stderr)


def test_the_authority_signs_no_further_authorities(authority):
    constraints = authority.certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value.path_length == 0

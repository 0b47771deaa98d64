"""The control API listens on this machine only, and its token is in a file of its owner's."""

import contextlib
import json
import socket
import subprocess

import pytest
from remembering_proxy import CONFIGURATION

from shaper.onboarding.control.serving import serve_control
from shaper.policy.load import MAX_BYTES
from shaper.policy.refused import RefusedError


@pytest.fixture
def serving(lab, log, roster, tmp_path):
    serving = serve_control(lab, CONFIGURATION, ("127.0.0.1", 0), token=tmp_path / "token", audit=log, roster=roster)
    yield serving
    serving.close()


@pytest.fixture
def curl(serving, tmp_path, needs):
    program = needs("curl", "apt-get install curl")

    def fetch(path, *options):
        token = (tmp_path / "token").read_text().strip()
        command = [program, "-sS", "-i", "-H", f"Authorization: Bearer {token}", *options]
        command.append(f"http://127.0.0.1:{serving.port}{path}")
        output = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout.decode()
        head, _, body = output.rpartition("\r\n\r\n")
        return head, body

    return fetch


def test_whoever_reads_the_token_gets_in(curl):
    _, body = curl("/v1/status")
    assert json.loads(body)["proxy"]["study"] == "study"


def test_the_tokens_file_is_its_owners_and_an_exposed_one_is_refused(serving, lab, log, tmp_path):
    token = tmp_path / "token"
    assert token.stat().st_mode & 0o777 == 0o600
    token.chmod(0o644)
    with pytest.raises(RefusedError, match="others may use it"):
        serve_control(lab, CONFIGURATION, ("127.0.0.1", 0), token=token, audit=log)


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "192.0.2.1", "lab.example"])
def test_no_other_machine_is_listened_to(lab, log, tmp_path, host):
    with pytest.raises(RefusedError, match=r"others could reach it; listen on 127\.0\.0\.1"):
        serve_control(lab, CONFIGURATION, (host, 0), token=tmp_path / "token", audit=log)


def test_a_port_in_use_is_refused_in_one_line(serving, lab, log, tmp_path):
    with pytest.raises(RefusedError, match="Address already in use; name another port"):
        serve_control(lab, CONFIGURATION, ("127.0.0.1", serving.port), token=tmp_path / "token", audit=log)


def test_a_body_that_is_too_large_is_refused_and_the_next_request_served(curl, tmp_path):
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (MAX_BYTES + 1))
    head, _ = curl("/v1/policy", "-X", "PUT", "-H", "Content-Type: application/yaml", "--data-binary", f"@{large}")
    assert " 413 " in head
    assert " 200 " in curl("/v1/status")[0]


@pytest.mark.parametrize(
    "nonsense",
    [b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\nA: b\x00c\r\n\r\n",
     b"GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: " + b"y" * 70_000 + b"\r\n\r\n",
     b"POST /v1/pause HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
)  # fmt: skip
def test_what_is_no_request_changes_nothing_and_ends_nothing(serving, curl, lab, nonsense):
    with socket.create_connection(("127.0.0.1", serving.port), timeout=30) as connection:
        with contextlib.suppress(OSError):  # it may have hung up already
            connection.sendall(nonsense)
            connection.shutdown(socket.SHUT_WR)
        try:
            answer = connection.recv(100)
        except ConnectionResetError:
            answer = b""
    assert not answer or answer.split()[1][:1] == b"4"
    assert not lab.paused
    assert " 200 " in curl("/v1/status")[0]

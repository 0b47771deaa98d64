"""Nothing that a volunteer sends, and nothing of who they are, is left in any file, metric, log or answer."""

import json
import socket
import subprocess
import sys
from contextlib import suppress

import pytest

from shaper.lab.origin import Origin
from shaper.onboarding.credentials import Credential
from tests.canary import Canaries, spellings
from tests.running_study import running_study, until
from tests.synthetic_run import make_run

LOUD = (
    sys.executable, "-c",
    "import logging; logging.basicConfig(level=logging.DEBUG); from shaper.cli.main import main; main()",
)  # fmt: skip
GETS = ("status", "configuration", "policy", "transfers", "volunteers", "export", "audit?limit=1000")
POLICY = """
version: 1
study: canary
targets: {media: {hosts: ["*.media.test"]}}
arms: {slow: 1}
rules:
  - {name: slow, target: media, media: [image], direction: both, caps: [{rate: 4 Mbit/s}]}
"""


@pytest.mark.parametrize("spelling", spellings("x"))
def test_the_search_finds_a_secret_however_it_is_spelled(tmp_path, spelling):
    canaries = Canaries()
    haystack = tmp_path / "below" / "file"
    haystack.parent.mkdir()
    haystack.write_bytes(spellings(canaries.query)[spelling])
    (tmp_path / "other").write_bytes(b"innocent" * 1000)
    assert canaries.leaks(tmp_path) == [f"query in {haystack}"]


def test_the_search_refuses_to_have_searched_nothing(tmp_path):
    with pytest.raises(AssertionError, match="nothing to search"):
        Canaries().leaks(tmp_path)


@pytest.fixture
def canaries():
    return Canaries()


@pytest.fixture
def origin(canaries):
    with Origin([f"{canaries.path}.media.test", f"{canaries.host}.other.test"]) as origin:
        yield origin


@pytest.fixture
def study(origin, canaries, tmp_path):
    """A run with every feature, its log at its loudest."""
    home = tmp_path / "home"
    home.mkdir()
    ports = {443: origin.port, 80: origin.plain_port}
    routes = [f"{name}:{port}:127.0.0.1:{to}" for name in _names(canaries) for port, to in ports.items()]
    (tmp_path / "shadow.yaml").write_text(POLICY.replace("study: canary", "study: shadow"))
    options = ["--origin-ca", origin.ca_pem, "--shadow", tmp_path / "shadow.yaml", "--self-check", "50 %"]
    options += [part for route in routes for part in ("--connect-to", route)]
    with running_study(home, POLICY, *options, command=LOUD) as study:
        yield study


@pytest.mark.timeout(300)  # 20 s alone; it starts a dozen processes
def test_a_run_of_all_features_leaves_no_secret_behind(study, origin, canaries, tmp_path, needs):
    curl = needs("curl", "apt-get install curl")
    target, other = _names(canaries)
    person = study.join({"User-Agent": canaries.agent, "Referer": canaries.referrer, canaries.field_name: "1"})
    right, wrong = person.login, Credential("wrong", canaries.credential)

    def fetch(url, *options, login=right, ca=study.ca_pem):
        command = [
            curl, "-sS", "--proxy", f"http://{study.proxy}", "--proxy-user", f"{login.username}:{login.password}",
            *canaries.curl, "--cacert", ca, "--max-time", "20", *options, url,
        ]  # fmt: skip
        return subprocess.run([*map(str, command)], check=False, capture_output=True, timeout=60)

    picture = f"/bytes?size=30000&type=image/jpeg&secret={canaries.query}&x={canaries.path}"
    assert len(fetch(f"https://{target}{picture}").stdout) == 30_000
    assert len(fetch(f"http://{target}{picture}").stdout) == 30_000
    fetch(f"https://{target}{canaries.target}", "--data", canaries.body)
    fetch(f"https://{target}{picture}", "--max-time", "0.05")
    fetch(f"https://{other}{canaries.target}", ca=origin.ca_pem)
    fetch(f"http://127.0.0.1:1{canaries.target}")
    fetch(f"http://{study.proxy}{canaries.target}")
    fetch(f"https://{canaries.host}.absent.test{canaries.target}")
    assert b"407" in fetch(f"https://{target}{picture}", login=wrong).stderr
    fetch(f"https://{other}{canaries.target}", ca=study.ca_pem)  # a client that does not trust what it is shown
    fetch(f"http://shaper.lab{canaries.target}")
    fetch(f"http://shaper.lab/glass?language={canaries.query}")
    assert b"certificate" in fetch(f"https://{target}{picture}", ca=origin.ca_pem).stderr  # here it is ours
    _nonsense(study.proxy.split(":"), canaries)
    for url in (study.own, study.said["control"], study.said["metrics"]):
        subprocess.run(
            [curl, "-s", *canaries.curl, "-d", canaries.body, f"{url.removesuffix('/metrics')}{canaries.target}"],
            check=False, capture_output=True, timeout=60,
        )  # fmt: skip

    assert until(lambda: study.control.get("/v1/status")["proxy"]["transfers"] == 0)
    assert study.control.send_policy("POST", "/v1/policy/dry-run", study.policy)["decisions"] >= 3
    answers = [json.dumps(study.control.get(f"/v1/{path}")) for path in GETS]
    for command in (["ctl", "pause"], ["ctl", "resume"], ["ctl", "reload"], ["ctl", "volunteers"], ["ctl", "audit"],
                    ["ctl", "export"], ["top", "--once"], ["ethics"]):  # fmt: skip
        done = study.shaper(*command)
        assert done.exit_code == 0, done.output
        answers.append(done.stdout)
    answers += [study.metrics(), person.get("/my-data.json"), person.get("/receipt.txt"), person.get("/glass")]
    pseudonym = study.members[0]["pseudonym"]
    assert len(json.loads(person.get("/my-data.json"))["transfers"]) >= 3
    assert until(lambda: study.journal.read_text().count(pseudonym) >= 3)
    run = make_run(tmp_path / "run", blocks=3, pages=False)
    with (run / "journal-control.jsonl").open("a") as lines:
        lines.write(study.journal.read_text())
    person.post("/delete", "/delete")
    assert study.stop() == 0
    for command in (["export", "--ooni", run, "-o", run / "ooni.jsonl"], ["report", run], ["pack", run]):
        done = study.shaper(*command)
        assert done.exit_code == 0, done.output
        answers.append(done.stdout)

    assert any(canaries.query in exchange.request.target for exchange in origin.seen)
    assert canaries.leaks(study.home, run, *answers) == []
    assert right.password not in "".join(answers) + study.errors
    everything = b"".join(path.read_bytes() for path in study.home.rglob("*") if path.is_file())
    assert pseudonym.encode() not in everything  # deleted is deleted, in the journal and in every log


def _names(canaries):
    return f"{canaries.path}.media.test", f"{canaries.host}.other.test"


def _nonsense(address, canaries):
    """Send what is no request, as scanners do."""
    for message in (f"GET {canaries.path}\r\n\r\n", f"{canaries.query} / HTTP/9\r\nCookie: {canaries.cookie}\r\n\r\n"):
        with suppress(OSError), socket.create_connection(address, 5, (canaries.address, 0)) as connection:
            connection.sendall(message.encode())
            connection.recv(1000)

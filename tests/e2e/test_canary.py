"""Nothing that a volunteer sends, and nothing of who they are, is left in any file, metric, log or answer."""

import asyncio
import json
import subprocess
from contextlib import suppress
from http.client import HTTPConnection

import pytest
import pytest_asyncio

from shaper.cli.adoption import Adoption
from shaper.cli.certified import Certified
from shaper.cli.controlling import Controlling
from shaper.lab.origin import Origin
from shaper.onboarding.control.audit import AuditLog
from shaper.onboarding.control.serving import serve_control
from shaper.onboarding.roster import open_roster
from shaper.onboarding.worksheet import Configuration
from shaper.policy.destination import Destinations
from shaper.policy.load import loads
from shaper.proxy.server import ConnectTo, Proxy, Settings
from shaper.record.exposition import serve
from shaper.record.journal import Journal
from shaper.record.metrics import Metrics
from tests.canary import Canaries, spellings
from tests.e2e.conftest import until

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


@pytest_asyncio.fixture
async def home(tmp_path):
    """Where everything is written."""
    home = tmp_path / "home"
    home.mkdir()
    return home


async def test_a_run_of_all_features_leaves_no_secret_behind(origin, canaries, home, tmp_path, needs, caplog, capfd):
    curl = needs("curl", "apt-get install curl")
    target, other = f"{canaries.path}.media.test", f"{canaries.host}.other.test"
    routes = [ConnectTo(name, port, "127.0.0.1", to) for name in (target, other)
              for port, to in ((443, origin.port), (80, origin.plain_port))]  # fmt: skip
    settings = Settings(
        ca_dir=home / "ca", connect_to=tuple(routes), origin_ca=origin.ca_pem, require_auth=True,
        destinations=Destinations.parse([]),
    )  # fmt: skip
    roster = open_roster(home / "volunteers.sqlite", "canary")
    metrics, policy = Metrics(), loads(POLICY, "policy")
    journal, audit = Journal(home / "journal.jsonl", metrics), AuditLog(home / "audit.jsonl")
    roster.journals = [home / "journal.jsonl"]
    exposition = serve(metrics, "127.0.0.1", 0)
    proxy = Proxy(policy, settings, [journal, roster], metrics, registry=roster)
    await proxy.start()
    configuration = Configuration(listen="{}:{}".format(*proxy.address), require_auth=True, volunteers=True)
    control = serve_control(
        Controlling(Adoption(None, Certified.by(None, required=False), proxy, None)),
        configuration,
        ("127.0.0.1", 0),
        token=home / "token",
        audit=audit,
        roster=roster,
    )
    texts = []

    async def fetch(url, *options, credential=None):
        user = f"{credential.username}:{credential.password}" if credential else f"wrong:{canaries.credential}"
        command = [
            curl, "-sS", "--proxy", "http://{}:{}".format(*proxy.address), "--proxy-user", user, *canaries.curl,
            "--cacert", str(proxy.ca_pem), "--max-time", "20", *options, url,
        ]  # fmt: skip
        return await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60)

    def ask(method, path, body=None, kind="application/json"):
        connection = HTTPConnection("127.0.0.1", control.port, timeout=30)
        headers = {"Authorization": f"Bearer {(home / 'token').read_text().strip()}", "Content-Type": kind}
        connection.request(method, path, body, headers)
        return connection.getresponse().read().decode()

    pseudonym, credential = roster.enrol(access="mobile")
    roster.consent(pseudonym, "text", "en")
    picture = f"/bytes?size=30000&type=image/jpeg&secret={canaries.query}&x={canaries.path}"
    try:
        slowed = await fetch(f"https://{target}{picture}", credential=credential)
        assert len(slowed.stdout) == 30_000, slowed.stderr
        await fetch(f"http://{target}{picture}", credential=credential)
        await fetch(f"https://{target}{canaries.target}", "--data", canaries.body, credential=credential)
        await fetch(f"https://{other}{canaries.target}", "--cacert", str(origin.ca_pem), credential=credential)
        await fetch(f"https://{target}{picture}", "--max-time", "0.05", credential=credential)
        await fetch(f"http://127.0.0.1:1{canaries.target}", credential=credential)
        await fetch(f"https://{canaries.host}.absent.test{canaries.target}", credential=credential)
        await fetch(f"https://{target}{picture}", "--cacert", "/dev/null", credential=credential)
        refused = await fetch(f"https://{target}{picture}")
        assert b"407" in refused.stderr
        await asyncio.to_thread(_nonsense, proxy.address, canaries)
        assert await until(lambda: not proxy.shaping.live)
        for path in ("status", "configuration", "policy", "transfers", "volunteers", "export", "audit"):
            texts.append(await asyncio.to_thread(ask, "GET", f"/v1/{path}"))
        await asyncio.to_thread(ask, "GET", f"/v1/{canaries.path}?{canaries.query}")
        await asyncio.to_thread(ask, "PUT", "/v1/pause", f'{{"{canaries.body}": 1}}')  # told back to its sender alone
        dry_run = json.loads(await asyncio.to_thread(ask, "POST", "/v1/policy/dry-run", POLICY, "application/yaml"))
        texts.append(json.dumps(await asyncio.to_thread(roster.own_data, pseudonym)))
        texts.append(await asyncio.to_thread(_metrics, exposition.url))
        assert len(await asyncio.to_thread(roster.entries, pseudonym)) >= 3
    finally:
        control.close()
        await proxy.stop()
        journal.close()
        exposition.close()
        roster.close()
        audit.close()
    assert any(canaries.query in exchange.request.target for exchange in origin.seen)
    assert dry_run["decisions"] >= 3
    assert sum(pseudonym in line for line in (home / "journal.jsonl").read_text().splitlines()) >= 3
    mentions = [
        text for text in texts if canaries.body not in text
    ]  # a refusal may quote its own request to its sender
    assert canaries.leaks(home, *mentions, caplog.text, *capfd.readouterr()) == []
    assert credential.password not in "".join(texts) + caplog.text


def _nonsense(address, canaries):
    """Send what is no request, as scanners do."""
    for message in (f"GET {canaries.path}\r\n\r\n", f"{canaries.query} / HTTP/9\r\nCookie: {canaries.cookie}\r\n\r\n"):
        with suppress(OSError):
            connection = HTTPConnection(*address, timeout=5)
            connection.connect()
            connection.sock.sendall(message.encode())
            connection.sock.recv(1000)
            connection.close()


def _metrics(url):
    host, _, port = url.partition("//")[2].partition("/")[0].rpartition(":")
    connection = HTTPConnection(host, int(port), timeout=30)
    connection.request("GET", "/metrics")
    return connection.getresponse().read().decode()

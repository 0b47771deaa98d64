"""Shaper as an addon of the real mitmproxy tools."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from shaper.lab.payload import Stream, digest
from shaper.measure.probe import connect, fetch
from shaper.measure.run import Outcome
from shaper.proxy import addon
from shaper.record import journal
from tests.e2e.conftest import POLICY, until

IMAGE = "/bytes?size=20000&type=image/jpeg"


class Tool:
    """mitmdump or mitmweb under way. It trusts the origins, and keeps its own CA in `home`."""

    def __init__(self, name, home, origins, *options, rate="400 kbit/s"):
        self.home, self.log, self.policy = home, home / "log", home / "policy.yaml"
        self.policy.write_text(POLICY.replace("RATE", rate))
        (home / "origins.pem").write_bytes(b"".join(origin.ca_pem.read_bytes() for origin in origins.values()))
        sets = [f"confdir={home}", f"ssl_verify_upstream_trusted_ca={home / 'origins.pem'}", *options]
        sets += [f"shaper_policy={self.policy}", f"shaper_journal={home / 'journal.jsonl'}"]
        command = [Path(sys.executable).with_name(name), "--listen-host", "127.0.0.1", "--listen-port", "0"]
        command += ["-s", addon.__file__, *(part for each in sets for part in ("--set", each))]
        # Routes are not the tools' business: names lead to the lab by a script of its own.
        command += ["-s", self._routes(home, origins)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    @staticmethod
    def _routes(home, origins) -> Path:
        ports = {f"{label}.{domain}": o.port for label, o in origins.items() for domain in ("media.test", "other.test")}
        script = home / "routes.py"
        script.write_text(
            f"PORTS = {ports}\n"
            "ASKED = {}\n"
            "def server_connect(data):\n"
            "    ASKED[data.server] = data.server.address\n"
            '    data.server.address = ("127.0.0.1", PORTS[data.server.address[0]])\n'
            "def server_connected(data):\n"
            '    object.__setattr__(data.server, "address", ASKED.pop(data.server))\n'
        )
        return script

    async def listening(self) -> tuple[str, int]:
        pattern = r"proxy listening at [^ ]*?127\.0\.0\.1:([0-9]+)"
        assert await until(lambda: re.search(pattern, self.log.read_text()), 30), self.log.read_text()
        return "127.0.0.1", int(re.search(pattern, self.log.read_text())[1])

    async def stop(self) -> None:
        self.process.terminate()
        await asyncio.to_thread(self.process.wait, 20)


@pytest.fixture
async def tool(origins, tmp_path):
    started = []

    async def start(name, *options, **more):
        started.append(Tool(name, tmp_path, origins, *options, **more))
        return started[-1], await started[-1].listening()

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()


async def test_mitmweb_slows_targets_and_leaves_the_rest_undecrypted(tool):
    running, proxy = await tool("mitmweb", "web_open_browser=false", "web_port=0")
    await slows_targets_and_leaves_the_rest_undecrypted(running, proxy)
    await running.stop()
    assert len(list(journal.read(running.home / "journal.jsonl"))) == 2


async def test_mitmdump_does_too_and_pages_pass_beside_slowed_images_of_an_h1_origin(tool):
    """With lazy connections an h2 client meets an h1 origin. By itself mitmproxy opens five connections to it then, and
    the sixth request waits for an image."""
    running, proxy = await tool("mitmdump", "connection_strategy=lazy")
    await slows_targets_and_leaves_the_rest_undecrypted(running, proxy)
    ca = running.home / "mitmproxy-ca-cert.pem"
    async with await connect("https://h1.media.test", protocol="h2", proxy=proxy, ca=ca) as session:
        videos = [asyncio.create_task(session.request("/bytes?size=5000000&type=video/mp4")) for _ in range(20)]
        for _ in range(5):
            page = await session.request("/bytes?size=20000&type=text/html", timeout=20)
            assert (page.outcome, page.sha256) == (Outcome.COMPLETE, digest(Stream(20_000)))
        assert not any(video.done() for video in videos)
        await session.close()
        await asyncio.gather(*videos)
    await running.stop()
    records = [r for r in journal.read(running.home / "journal.jsonl") if r.origin_protocol != r.client_protocol]
    assert {(r.client_protocol, r.origin_protocol) for r in records} == {("h2", "h1")}
    assert sorted(r.outcome for r in records) == ["client-abort"] * 20 + ["complete"] * 5


async def slows_targets_and_leaves_the_rest_undecrypted(running, proxy):
    ca = running.home / "mitmproxy-ca-cert.pem"
    *images, other = await asyncio.gather(
        fetch(f"https://both.media.test{IMAGE}", proxy=proxy, ca=ca, protocol="h1", timeout=20),
        fetch(f"https://both.media.test{IMAGE}", proxy=proxy, ca=ca, protocol="h2", timeout=20),
        fetch(f"https://both.other.test{IMAGE}", proxy=proxy, ca=running.home / "origins.pem", timeout=20),
    )
    assert [got.sha256 for got in (*images, other)] == [digest(Stream(20_000))] * 3
    assert min(got.duration for got in images) > 17_952 / 50_000 - 0.1


async def test_a_tool_refuses_a_broken_policy_in_one_line(tmp_path):
    (tmp_path / "policy.yaml").write_text(POLICY.replace("RATE", "fast"))
    command = [Path(sys.executable).with_name("mitmdump"), "-s", addon.__file__, "--listen-port", "0"]
    command += ["--set", f"confdir={tmp_path}", "--set", f"shaper_policy={tmp_path / 'policy.yaml'}"]
    process = await asyncio.create_subprocess_exec(*command, stdout=-1, stderr=-1)
    out, errors = await asyncio.wait_for(process.communicate(), 30)
    said = (out + errors).decode().strip()
    assert process.returncode != 0
    assert said.count(f'{tmp_path / "policy.yaml"}:6: rule "slow": "fast" is not a rate') == 1
    assert "Traceback" not in said

"""`shaper run` as a process of its own: what it says, reloads, counts, keeps and leaves behind."""

import asyncio
import re
import signal
import subprocess
import sys
import urllib.request
from time import monotonic

import pytest

from shaper.lab.payload import Stream, digest
from shaper.measure.fetched import Appetite
from shaper.measure.probe import connect, fetch
from shaper.measure.run import Outcome
from shaper.record import journal
from tests.e2e.conftest import CANARY, POLICY, until

IMAGE = f"/bytes?size=20000&type=image/jpeg&secret={CANARY}"
HEADERS = [("cookie", CANARY), ("referer", f"https://{CANARY}.example/")]


class Running:
    """The process and what it said. `stderr` is read from a file, so that it never has to wait for a reader."""

    def __init__(self, home, origins, *arguments):
        self.home, self.policy, self.journal = home, home / "policy.yaml", home / "journal.jsonl"
        self.policy.write_text(POLICY.replace("RATE", "400 kbit/s"))
        routes = [f"{label}.media.test:443:127.0.0.1:{origin.port}" for label, origin in origins.items()]
        routes += [f"{label}.other.test:443:127.0.0.1:{origin.port}" for label, origin in origins.items()]
        (home / "origins.pem").write_bytes(b"".join(origin.ca_pem.read_bytes() for origin in origins.values()))
        command = [sys.executable, "-m", "shaper", "run", "--policy", self.policy, "--journal", self.journal]
        command += ["--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--ca-dir", home / "ca", *arguments]
        command += [
            "--origin-ca",
            home / "origins.pem",
            *(part for route in routes for part in ("--connect-to", route)),
        ]
        self._errors = (home / "stderr").open("wb")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._errors, text=True)
        self.said = {}
        for line in self.process.stdout:
            label, _, text = line.strip().partition(" ")
            self.said[label] = text.strip()
            if label == "journal":
                break
        host, _, port = self.said["proxy"].partition(";")[0].rpartition(":")
        self.address, self.ca = (host, int(port)), home / "ca" / "shaper-ca.pem"

    @property
    def errors(self) -> str:
        return (self.home / "stderr").read_text()

    async def fetch(self, target=IMAGE, protocol="h2", host="both.media.test", **options):
        options = {"ca": self.ca, "headers": HEADERS, "timeout": 20} | options
        return await fetch(f"https://{host}{target}", proxy=self.address, protocol=protocol, **options)

    def scrape(self, accept="text/plain") -> tuple[str, str]:
        request = urllib.request.Request(self.said["metrics"], headers={"accept": accept})
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.headers["content-type"], answer.read().decode()

    def stop(self, number=signal.SIGTERM, seconds=20) -> int:
        self.process.send_signal(number)
        try:
            return self.process.wait(seconds)
        finally:
            self.process.kill()
            self.process.communicate()
            self._errors.close()


@pytest.fixture
def start(origins, tmp_path):
    started = []

    def start(*arguments):
        started.append(Running(tmp_path, origins, *arguments))
        return started[-1]

    yield start
    for running in started:
        if running.process.poll() is None:
            running.stop(signal.SIGKILL)


def value(text: str, name: str, **labels) -> float:
    """Return the value of a series in the text of a scrape; the labels given must be among its labels."""
    wanted = [f'{label}="{text}"' for label, text in labels.items()]
    found = [line for line in text.splitlines() if re.match(rf"{name}[{{ ]", line) and all(w in line for w in wanted)]
    return sum(float(line.rpartition(" ")[2].partition(" #")[0]) for line in found)


async def test_a_run_says_what_it_does_counts_it_and_keeps_a_journal_without_traces(start, origins):
    running = start()
    assert running.said["study"].startswith("e2e, sha256:")
    assert running.said["targeted"] == "*.media.test, media.test"
    assert running.said["slowed"].startswith("slow: image, video: 400 kbit/s")
    assert running.said["CA"] == str(running.ca)
    assert running.said["journal"] == str(running.journal)

    slowed, other, page, left = await asyncio.gather(
        running.fetch(),
        running.fetch(host="both.other.test", ca=running.home / "origins.pem"),
        running.fetch(f"/bytes?size=30000&type=text/html&secret={CANARY}"),
        running.fetch(protocol="h1", appetite=Appetite(leave_after=5000)),
    )
    assert [got.sha256 for got in (slowed, other)] == [digest(Stream(20_000))] * 2
    assert page.sha256 == digest(Stream(30_000))
    assert slowed.duration > 17_952 / 50_000 - 0.1
    assert left.outcome is Outcome.ERROR
    assert await until(lambda: value(running.scrape()[1], "shaper_aborts_total", side="client") == 1)

    content_type, text = running.scrape()
    assert content_type.startswith("text/plain")
    counted = {"media": "image", "rule": "slow", "reason": "matched"}
    assert value(text, "shaper_responses_total", outcome="complete", **counted) == 1
    assert value(text, "shaper_responses_total", outcome="client-abort", **counted) == 1
    assert value(text, "shaper_responses_total", reason="no-rule", outcome="complete") == 1
    assert value(text, "shaper_connections_total", admission="intercepted") == 3
    assert value(text, "shaper_connections_total", admission="tunnelled", reason="untargeted") == 1
    assert value(text, "shaper_backlog_bytes") == value(text, "shaper_gated_origins") == 0
    assert value(text, "shaper_reload_success") == 1
    assert value(text, "shaper_rate_ratio_count", rule="slow") >= 1
    assert value(text, "shaper_fallbacks_total") == 0
    content_type, more = running.scrape("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert more.endswith("# EOF\n")
    with urllib.request.urlopen(  # noqa: ASYNC210, nothing else waits here
        running.said["metrics"].replace("/metrics", "/healthz"), timeout=5
    ) as health:
        assert health.read() == b"ok\n"

    assert running.stop() == 0
    records = list(journal.read(running.journal))
    assert sorted((r.media, r.outcome, r.reason) for r in records) == [
        ("image", "client-abort", "matched"),
        ("image", "complete", "matched"),
        ("other", "complete", "no-rule"),
    ]
    for record in records:
        assert sum(seconds for _, seconds in record.waits()) == pytest.approx(record.duration, abs=1e-9)
    everything = running.journal.read_text() + text + more + running.errors
    assert not [trace for trace in (CANARY, ".test", "/bytes", "jpeg") if trace in everything]
    assert "127.0.0.1" not in running.journal.read_text()


async def test_sighup_takes_a_good_file_and_keeps_the_running_policy_when_it_is_broken(start):
    running = start()
    async with await connect("https://both.media.test", protocol="h2", proxy=running.address, ca=running.ca) as session:
        slow = asyncio.create_task(session.request("/bytes?size=60000&type=image/png"))
        assert await until(lambda: value(running.scrape()[1], "shaper_active_transfers", shaped="true") == 1)
        running.policy.write_text(POLICY.replace("RATE", "80 Mbit/s"))
        running.process.send_signal(signal.SIGHUP)
        assert await until(lambda: "Reloaded: study e2e" in running.errors)
        fast = await session.request("/bytes?size=60001&type=image/png")
        running.policy.write_text(POLICY.replace("RATE", "fast"))
        running.process.send_signal(signal.SIGHUP)
        assert await until(lambda: "Not reloaded" in running.errors)
        still = await session.request("/bytes?size=60002&type=image/png")
        for got, size in ((await slow, 60_000), (fast, 60_001), (still, 60_002)):
            assert (got.outcome, got.sha256) == (Outcome.COMPLETE, digest(Stream(size)))
    assert max(fast.duration, still.duration) < 57_952 / 50_000 - 0.1 < slow.result().duration
    (line,) = [line for line in running.errors.splitlines() if "Not reloaded" in line]
    assert f'{running.policy}:6: rule "slow": "fast" is not a rate' in line
    _, text = running.scrape()
    assert value(text, "shaper_reloads_total", result="refused") == 1
    assert value(text, "shaper_reload_success") == 0
    assert running.stop() == 0
    assert len({record.policy for record in journal.read(running.journal)}) == 2


async def test_sigterm_lets_transfers_finish_and_takes_no_new_ones(start):
    running = start()
    task = asyncio.create_task(running.fetch("/bytes?size=60000&type=image/png"))
    assert await until(lambda: value(running.scrape()[1], "shaper_active_transfers", shaped="true") == 1)
    running.process.send_signal(signal.SIGTERM)
    assert await until(lambda: "Stopping" in running.errors)
    refused = await running.fetch("/bytes?size=10&type=text/css")
    assert (refused.outcome, refused.size) == (Outcome.ERROR, 0)
    got = await task
    assert (got.outcome, got.sha256) == (Outcome.COMPLETE, digest(Stream(60_000)))
    assert await asyncio.to_thread(running.process.wait, 10) == 0
    assert [(r.outcome, r.size) for r in journal.read(running.journal)] == [("complete", 60_000)]


async def test_sigterm_does_not_wait_for_ever(start):
    running = start("--drain", "300 ms")
    task = asyncio.create_task(running.fetch("/bytes?size=50000000&type=video/mp4"))
    assert await until(lambda: value(running.scrape()[1], "shaper_active_transfers", shaped="true") == 1)
    begun = monotonic()
    assert await asyncio.to_thread(running.stop) == 0
    assert 0.3 < monotonic() - begun < 10
    assert (await task).outcome is Outcome.ERROR
    assert [r.outcome for r in journal.read(running.journal)] == ["shutdown"]


async def test_a_quick_limit_needs_no_file(origins, tmp_path):
    command = [sys.executable, "-m", "shaper", "run", "--limit", "image *.media.test 400 kbit/s", "--listen", "[::1]:0"]
    command += ["--metrics", "[::1]:0", "--ca-dir", tmp_path, "--origin-ca", origins["both"].ca_pem]
    command += ["--connect-to", f"both.media.test:443:127.0.0.1:{origins['both'].port}"]
    process = await asyncio.create_subprocess_exec(*command, stdout=-1, stderr=-1)
    said = {}
    while "journal" not in said:
        label, _, text = (await process.stdout.readline()).decode().strip().partition(" ")
        said[label] = text.strip()
    port = int(re.match(r"\[::1\]:([0-9]+);", said["proxy"])[1])
    url = "https://both.media.test/bytes?size=20000&type=image/png"
    got = await fetch(url, proxy=("::1", port), protocol="h2", ca=tmp_path / "shaper-ca.pem")
    assert (got.outcome, got.sha256) == (Outcome.COMPLETE, digest(Stream(20_000)))
    assert got.duration > 17_952 / 50_000 - 0.1
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGINT)
    _, errors = await process.communicate()
    assert process.returncode == 0
    assert b"nothing to reload" in errors.lower()
    assert b"Traceback" not in errors

"""Calibration of real proxies: good ones, and ones that were made faulty. Figures on a busy machine are noise."""

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from shaper.cli.calibrating import Calibration
from shaper.cli.main import main
from shaper.cli.proxy_process import START, ProxyProcess
from shaper.lab.origin import Origin
from shaper.measure.calibration import Asked, Figure, Tolerance
from shaper.measure.certificate import VALID, Certificate, read
from shaper.measure.probe import fetch
from shaper.measure.surroundings import machine, versions
from shaper.policy.load import loads
from shaper.record.journal import parse
from shaper.report.certificate_page import write_page

RATE = 150e3
WIDE = Tolerance(ratio=2.0, burst=30.0, distance=5.0, gap=5.0, latency=5.0, lag=5.0)
POLICY = """
version: 1
study: certified
targets: {photos: {hosts: ["a.test"]}}
rules: [{name: slow, target: photos, media: [image], caps: [{rate: RATE, burst: 2 KiB}]}]
"""

FAULTS = {
    "slow": "bucket.TokenBucket.__init__ = lambda self, rate, burst: made(self, 0.95 * rate, burst)",
    "bursty": "bucket.TokenBucket.__init__ = lambda self, rate, burst: made(self, rate, 1.05 * burst)",
    "stalling": """
async def stall():
    while True:
        await asyncio.sleep(0.5)
        time.sleep(0.4)

async def start(self):
    await started(self)
    asyncio.get_running_loop().stalling = asyncio.create_task(stall())

server.Proxy.start = start
""",
}


@pytest.fixture
def faulty(tmp_path):
    """What starts a shaper with one thing wrong."""

    def faulty(fault):
        script = tmp_path / f"{fault}.py"
        script.write_text(
            "import asyncio, time\nimport shaper.pacing.token_bucket as bucket\nimport shaper.proxy.server as server\n"
            "made, started = bucket.TokenBucket.__init__, server.Proxy.start\n"
            f"{FAULTS[fault]}\nfrom shaper.cli.main import main\nmain()\n"
        )
        return (sys.executable, str(script))

    return faulty


def calibrated(command=START, tolerance=WIDE, **options):
    options = {"rates": [RATE], "protocols": ["h1"], "repeats": 3, **options}
    certificate, _ = asyncio.run(Calibration(command=command, tolerance=tolerance, **options).run())
    return certificate


def test_a_good_proxy_passes_over_h1_and_h2(tmp_path):
    certificate, drawn = asyncio.run(
        Calibration(rates=[RATE], policies=[windowed()], repeats=2, tolerance=WIDE, protocols=["h1", "h2"]).run()
    )
    found = {(figure.manner, figure.protocol): figure for figure in certificate.figures}
    assert sorted(found) == [("smooth", "h1"), ("smooth", "h2"), ("window", "h1"), ("window", "h2")]
    assert all(0.7 < figure.ratio < 1.3 for figure in found.values())
    assert found["window", "h1"].burst_configured == 50_000 // 8
    assert not [miss for figure in found.values() for miss in figure.misses if miss.startswith("achieved/configured")]
    assert certificate.policies == (windowed().digest,)
    certificate.write(tmp_path / "c.json")
    assert read(tmp_path / "c.json") == certificate
    page = write_page(certificate, drawn, tmp_path / "c.html").read_text()
    assert certificate.digest in page
    assert page.count("<svg") == 2


def windowed():
    text = POLICY.replace("rate: RATE, burst: 2 KiB", "rate: 50 kbit/s, manner: window")
    return loads(text, "windowed.yaml")


@pytest.mark.parametrize(("fault", "miss"), [("slow", "achieved/configured"), ("bursty", "burst"), ("stalling", "gap")])
def test_a_faulty_proxy_is_refused(faulty, fault, miss):
    certificate = calibrated(faulty(fault), Tolerance())
    assert not certificate.passed
    assert any(each.startswith(miss) for figure in certificate.figures for each in figure.misses)


def test_what_cannot_be_calibrated_is_said_in_one_line(tmp_path):
    (tmp_path / "control.yaml").write_text(POLICY.replace(", caps: [{rate: RATE, burst: 2 KiB}]", ""))
    for arguments, said in (
        (["--policy", tmp_path / "control.yaml"], "no cap that shaper paces itself"),
        (["--policy", tmp_path / "absent.yaml"], "absent.yaml: cannot be read"),
        (["--rate", "2 Mbps/s"], '"2 Mbps/s" is not a rate'),
    ):
        result = CliRunner().invoke(main, ["calibrate", *map(str, arguments)])
        assert result.exit_code == 1
        assert said in result.output.strip().splitlines()[-1]


def certificate(**changes):
    now = datetime.now(UTC)
    figure = Figure(
        rate=RATE, manner="smooth", window=0.0, protocol="h1", repeats=3, ratio=1.0, low=0.99, high=1.01, burst=2048.0,
        burst_configured=2048, distance=300.0, gap=0.02, latency=0.004,
    )  # fmt: skip
    made = Certificate(
        made=now, valid_until=now + VALID, machine=machine(), versions=versions(), policies=(), tolerance=Tolerance(),
        figures=(figure,), lag=0.001, passed=True,
    )  # fmt: skip
    return replace(made, **changes).sealed()


@pytest.fixture
def run(tmp_path):
    """What runs a proxy under a policy of some rate, with more options."""

    @asynccontextmanager
    async def run(*options, rate="150 kbit/s", command=START):
        policy = tmp_path / "policy.yaml"
        policy.write_text(POLICY.replace("RATE", rate))
        own = [f"--ca-dir={tmp_path / 'ca'}", f"--journal={tmp_path / 'journal.jsonl'}"]
        async with Origin(["a.test"]) as origin:
            own += [f"--connect-to=a.test:443:127.0.0.1:{origin.port}", f"--origin-ca={origin.ca_pem}"]
            async with ProxyProcess(policy, [*own, *options], command) as proxy:
                yield proxy

    return run


def start(run, *options, **more):
    async def started():
        async with run(*options, **more) as proxy:
            return proxy.told("certified")

    return asyncio.run(started())


def test_a_run_that_requires_calibration_starts_with_a_valid_certificate_and_names_it(run, tmp_path):
    made, path = certificate(), tmp_path / "certificate.json"
    made.write(path)
    assert start(run, f"--certificate={path}", "--require-calibration") == f"by {made.digest[:19]}"


@pytest.mark.parametrize(
    ("changes", "options", "said"),
    [
        ({}, [], "there is no certificate"),
        ({"passed": False}, ["--certificate"], "it did not pass"),
        ({"valid_until": datetime.now(UTC) - timedelta(days=1)}, ["--certificate"], "it expired on"),
        ({"versions": {"shaper": "0"}}, ["--certificate"], "made with other versions"),
        ({"machine": "another"}, ["--certificate"], "made on another machine"),
        ({"figures": ()}, ["--certificate"], "does not cover 150 kbit/s, smooth"),
    ],
)
def test_a_run_that_requires_calibration_is_refused_without_a_valid_certificate(tmp_path, changes, options, said):
    certificate(**changes).write(tmp_path / "certificate.json")
    (tmp_path / "policy.yaml").write_text(POLICY.replace("RATE", "150 kbit/s"))
    named = [f"{option}={tmp_path / 'certificate.json'}" for option in options]
    arguments = ["run", f"--policy={tmp_path / 'policy.yaml'}", "--require-calibration", *named]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    (line,) = result.output.strip().splitlines()
    assert said in line
    assert "shaper calibrate" in line


def test_a_self_check_flags_records_that_are_out_of_tolerance(run, faulty, tmp_path):
    """A rate of half or double the cap is out of 30 %, and the cap's own is not, however busy the machine is."""
    FAULTS["half"] = FAULTS["slow"].replace("0.95", "0.5")
    made = certificate()
    made.write(tmp_path / "certificate.json")

    async def record(command):
        options = ["--self-check=30 %", f"--certificate={tmp_path / 'certificate.json'}"]
        async with run(*options, command=command) as proxy:
            url = "https://a.test/bytes?size=30000&type=image/jpeg"
            got = await fetch(url, proxy=proxy.address, ca=proxy.ca_pem)
            assert got.size == 30_000
        line = (tmp_path / "journal.jsonl").read_bytes().splitlines()[-1]
        assert json.loads(line)["certificate"] == made.digest
        return parse(line)

    assert asyncio.run(record(START)).flags == ()
    half = asyncio.run(record(faulty("half")))
    assert half.flags == ("out-of-tolerance",)
    assert half.rate_ratio < 0.6


def test_the_usual_rates_are_calibrated_when_nothing_is_asked_for():
    asked = Calibration().asked
    assert [each.rate for each in asked] == [100e3, 150e3, 500e3, 1e6, 5e6, 10e6, 50e6]
    assert set(Calibration(policies=[windowed()]).asked) == {Asked(50e3, 6250, "window", 1.0)}

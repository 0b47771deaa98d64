"""`shaper demo` as a person meets it: one real run, its figures, its page in a real browser, and its end."""

import asyncio
import json
import re
import shlex
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner

from shaper.cli.main import main
from shaper.lab.site import assets

SHAPER = Path(sys.executable).with_name("shaper")
PICTURES = (".jpg", ".png", ".svg", ".webp")
VIDEOS = (".mp4", ".m4s")


class Demo:
    """A demo that is up: what it printed so far, and its figures."""

    def __init__(self, directory):
        file = directory / "figures.json"
        (directory / "tmp").mkdir()
        # Wide enough for a test machine that does other things; what is judged below is what cannot depend on it.
        command = [SHAPER, "demo", "--serve", "--json", file, "--tolerance", "30 %"]
        environment = {"PATH": "/usr/bin:/bin", "TMPDIR": str(directory / "tmp"), "LC_ALL": "C.UTF-8"}
        self.directory = directory
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        self.printed = ""
        for line in self.process.stdout:
            self.printed += line
            if line.startswith("Ctrl-C"):
                break
        self.figures = json.loads(file.read_text())

    def trials(self, *endings, targeted=True):
        return [
            trial
            for trial in self.figures["trials"]
            if trial["path"].endswith(endings) and (trial["host"] != "example.org") is targeted
        ]

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    demo = Demo(tmp_path_factory.mktemp("demo"))
    yield demo
    demo.process.kill()
    demo.process.communicate()


def test_it_takes_less_than_90_seconds_and_needs_both_protocols(demo):
    assert demo.figures["seconds"] < 90
    assert {trial["protocol"] for trial in demo.figures["trials"]} == {"h1", "h2"}


def test_every_body_is_the_one_that_the_origin_has(demo):
    for trial in demo.figures["trials"]:
        assert trial["intact"]
        assert trial["sha256"] == sha256(assets()[trial["path"]].data).hexdigest()


def test_pictures_and_videos_of_the_target_are_told_as_such_and_slowed(demo):
    for media, endings in (("image", PICTURES), ("video", VIDEOS)):
        trials = demo.trials(*endings)
        assert len({trial["path"] for trial in trials}) >= 5
        for trial in trials:
            assert (trial["media"], trial["rule"], trial["reason"]) == (media, "photos-and-video", "matched")
            assert (trial["cap"], trial["burst"]) == (150_000, 2048)
            assert trial["with"] >= (trial["size"] - 2048) * 8 / 150_000 - 0.02


def test_what_takes_seconds_is_near_its_cap(demo):
    long = [trial for trial in demo.trials(*PICTURES, *VIDEOS) if trial["size"] > 50_000]
    assert len(long) == 8
    assert all(100_000 < trial["achieved"] < 160_000 for trial in long)


def test_text_of_the_target_is_judged_and_not_held(demo):
    trials = demo.trials(".html", ".css", ".js", ".json", ".woff2", ".m3u8")
    assert len(trials) == 12
    for trial in trials:
        assert (trial["media"], trial["rule"], trial["cap"], trial["held"]) == ("other", "", None, 0)


def test_a_host_that_is_no_target_is_not_even_seen(demo):
    trials = demo.trials("", targeted=False)
    assert len(trials) == 8
    for trial in trials:
        assert (trial["reason"], trial["media"], trial["with_by_proxy"]) == ("untargeted", None, None)


def test_the_table_has_every_resource_and_the_verdict_every_check(demo):
    for trial in demo.figures["trials"]:
        assert trial["path"] in demo.printed
    assert max(map(len, demo.printed.partition("bodies")[0].splitlines())) < 80
    checks = {check["name"]: check for check in demo.figures["checks"]}
    assert set(checks) == {"bodies", "classes", "rates", "collateral", "tunnel", "clocks"}
    assert all(checks[name]["ok"] for name in ("bodies", "classes", "tunnel"))
    assert all(check["says"] in demo.printed for check in checks.values())


async def test_a_browser_told_as_printed_sees_slow_pictures_and_quick_text(demo, needs):
    chromium = needs("chromium", "apt-get install chromium")
    playwright = pytest.importorskip("playwright.async_api", reason="pip install 'shaper[browser]'")
    printed = shlex.split(next(line for line in demo.printed.splitlines() if line.startswith("chromium ")))
    flags = [word for word in printed if word.startswith("--") and not word.startswith("--user-data-dir")]
    targeted, elsewhere = [word for word in printed if word.startswith("https://")]
    took = {}
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", *flags])
        for url in (elsewhere, targeted):
            page = await browser.new_page()
            await page.goto(url, wait_until="commit")
            await page.locator("figcaption output").nth(7).wait_for(timeout=90_000)
            entries = await page.evaluate("performance.getEntriesByType('resource').map(e => [e.name, e.duration])")
            took[url] = {name.removeprefix(url): duration / 1000 for name, duration in entries}
        await browser.close()
    assert took[targeted]["photos/dawn.jpg"] > (93_898 - 2048) * 8 / 150_000 - 0.05
    assert took[elsewhere]["photos/dawn.jpg"] < took[targeted]["photos/dawn.jpg"] / 2
    assert took[targeted]["page.js"] < took[targeted]["photos/dawn.jpg"] / 2


async def test_sigterm_ends_it_and_nothing_is_left_behind(demo):
    code = await asyncio.to_thread(demo.end)
    assert code == (0 if demo.figures["ok"] else 1)
    assert list((demo.directory / "tmp").iterdir()) == []


def test_sigterm_ends_it_in_the_middle_of_a_measurement(tmp_path):
    process = subprocess.Popen([SHAPER, "demo"], env={"TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().startswith("HTTP/1.1")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143
    assert list(tmp_path.iterdir()) == []


POLICY = """\
version: 1
study: lab
targets: {{photos: {{hosts: [{host}]}}}}
rules: [{{name: slow, target: photos, {rule}}}]
"""


@pytest.mark.parametrize(
    ("options", "host", "rule", "message"),
    [
        ("--tolerance 5", '"a.example"', "media: [image]", r'--tolerance: "5" is not a share; write for example'),
        (
            "--json /nowhere/figures",
            '"a.example"',
            "media: [image]",
            r"--json: /nowhere/figures: No such file .*; name",
        ),
        ("", '"a.example"', "level: connection", r'policy lab: rule "slow": shapes whole connections.*; name a policy'),
        ("", '"a.example"', "media: [image], freeze_after: 1 kB", r'policy lab: rule "slow": .*freezes.*; name'),
        (
            "",
            '"a.example"',
            "media: [image], caps: [{rate: 1 kbit/s}]",
            r"policy lab: /photos/.* would take \d+ s; name",
        ),
        ("", "{contains: example}", "media: [image]", r"policy lab: no target names a host .*; name"),
    ],
)
def test_what_it_cannot_show_is_said_in_one_line(tmp_path, options, host, rule, message):
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY.format(host=host, rule=rule))
    result = CliRunner().invoke(main, ["demo", "--policy", str(policy), *shlex.split(options.replace(" ", "=", 1))])
    assert result.exit_code == 1
    assert re.fullmatch(f"Error: {message}.*\n", result.output)


def test_the_document_explains_every_check_and_every_key(demo):
    text = (Path(__file__).parents[2] / "docs" / "demo.md").read_text()
    keys = {*demo.figures, *demo.figures["trials"][0], *demo.figures["checks"][0]}
    assert keys - set(re.findall(r"`(\w+)`", text)) == set()
    table = text.partition("## What must hold")[2].partition("##")[0]
    assert [check["name"] for check in demo.figures["checks"]] == re.findall(r"^\| ([a-z]+) \|", table, re.MULTILINE)[
        1:
    ]

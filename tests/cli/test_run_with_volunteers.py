"""`shaper run` with volunteers and the control API, as one process, spoken to by curl and by its own commands."""

import json
import re
import signal
import subprocess

import pytest
from click.testing import CliRunner

from shaper.cli.main import main
from tests.running_study import running_study, until

POLICY = """
version: 1
study: together
targets: {photos: {hosts: ["photos.example.org", "test.shaper.lab"]}}
rules: [{name: slow, target: photos, media: [image, video], caps: [{rate: 400 kbit/s}]}]
"""
FASTER = POLICY.replace("400 kbit/s", "1 Mbit/s")
OTHER = POLICY.replace("study: together", "study: apart")
PHOTO = "https://test.shaper.lab/photos/dusk.jpg"


@pytest.fixture
def curl(needs):
    program = needs("curl", "apt-get install curl")

    def ask(*arguments):
        done = subprocess.run(
            [program, "-s", "-o", "/dev/null", "-w", "%{http_code} %{http_connect}", "--max-time", "20", *arguments],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        return [int(code) for code in done.stdout.split()]

    return ask


def test_an_invitation_leads_to_the_test_through_the_proxy(tmp_path, curl):
    with running_study(tmp_path, POLICY) as study:
        invite = ["invite", "--volunteers", tmp_path / "people.sqlite", "--study", "together", "--site", study.own]
        link = study.shaper(*invite).stdout.strip()
        assert until(lambda: curl(link)[0] == 302)  # the running proxy looks every half second
        person = ["--proxy-user", ":".join(re.search(r"join/(\w+)-(\w+)", link).groups())]
        assert curl("-x", study.proxy, "http://shaper.lab/")[0] in {200, 302}  # open to all
        assert curl("-x", study.proxy, "-k", PHOTO)[1] == 407
        assert curl("-x", study.proxy, *person, "-k", PHOTO) == [200, 200]
        assert curl("-x", study.proxy, *person, "http://169.254.169.254/")[0] == 502  # nobody's business
        status = json.loads(study.shaper("ctl", "--json", "status").stdout)
        assert status["proxy"]["study"] == "together"
        study.shaper("ctl", "pause")
        assert study.control.get("/v1/status")["proxy"]["paused"] is True
        assert curl("-H", "Authorization: Bearer wrong", f"{study.said['control']}/v1/status")[0] == 401
        metrics = study.metrics()
        assert study.stop() == 0
    assert 'shaper_volunteers{state="joined"} 0.0' in metrics  # invited, but has not consented
    assert 'shaper_refused_requests_total{status="401",surface="control"} 1.0' in metrics
    assert 'shaper_refused_destinations_total{reason="metadata"} 1.0' in metrics
    assert "Traceback" not in study.errors
    assert study.journal.read_text() == ""  # without consent nothing is recorded


def test_another_policy_of_the_study_asks_everybody_anew_and_another_studys_is_refused(tmp_path):
    def state():
        (member,) = study.members
        return member["state"]

    def hang_up(text, answer):
        study.policy.write_text(text)
        study.process.send_signal(signal.SIGHUP)
        assert until(lambda: answer in study.errors), study.errors

    with running_study(tmp_path, POLICY) as study:
        person = study.join()
        assert state() == "taking-part"
        hang_up(OTHER, 'volunteers consented to the study "together", not "apart"')
        refused = study.shaper("ctl", "apply", study.policy), study.shaper("ctl", "reload")
        assert [(done.exit_code, 'not "apart"' in done.stderr) for done in refused] == [(1, True)] * 2
        assert state() == "taking-part"

        hang_up(FASTER, "Reloaded: study together")
        assert state() == "outdated"
        page = person.get("/consent")
        assert "the text has changed" in page
        assert "1 Mbit/s" in page
        person.agree()
        assert state() == "taking-part"

        study.policy.write_text(POLICY)
        assert "In force" in study.shaper("ctl", "reload").stdout
        assert state() == "outdated"
        person.agree()
        (tmp_path / "faster.yaml").write_text(FASTER)
        assert "In force" in study.shaper("ctl", "apply", tmp_path / "faster.yaml").stdout
        assert state() == "outdated"
        assert 'shaper_reloads_total{result="refused"} 3.0' in study.metrics()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--listen", "0.0.0.0:0"], "without credentials"),
        (["--require-auth"], "nobody has credentials"),
        (["--control", "0.0.0.0:0"], "others could reach it"),
        (["--allow-destination", "http://x"], "--allow-destination"),
        (["--volunteers", "people.sqlite"], "the consent text has no organisation; name it with --organisation"),
        (["--volunteers", "p", "--organisation", "A Lab"], "no contact; name it with --contact"),
    ],
)
def test_what_would_not_be_safe_is_refused_in_one_line(tmp_path, options, problem):
    assert problem in refusal(tmp_path, *options)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--site", "0.0.0.0:0"], "--site: 0.0.0.0: no browser can be led there; add --public-site URL"),
        (["--listen", "0.0.0.0:0"], "--listen: 0.0.0.0: no browser can be led there; add --public HOST:PORT"),
        (["--public-site", "lab"], '--public-site: "lab" is not a site\'s address'),
        (["--data-budget", "2"], '--data-budget: "2" is not a size; write for example "16 KiB"'),
        (["--session", "0 s"], '--session: "0 s" is out of range'),
        (["--site", "192.0.2.1:0"], "192.0.2.1:0: cannot listen here"),
    ],
)
def test_volunteers_are_not_promised_what_cannot_be_kept(tmp_path, options, problem):
    people = ["--volunteers", tmp_path / "p", "--organisation", "A Lab", "--contact", "a@b"]
    assert problem in refusal(tmp_path, *people, *options)


def refusal(directory, *options):
    """Run, expecting a refusal; return it. It is one line."""
    policy = directory / "policy.yaml"
    policy.write_text(POLICY)
    command = ["run", "--policy", policy, "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--ca-dir", directory]
    result = CliRunner().invoke(main, [*map(str, command), *map(str, options)])
    assert result.exit_code == 1, result.output
    (line,) = result.output.splitlines()
    return line

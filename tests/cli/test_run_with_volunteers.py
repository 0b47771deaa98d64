"""`shaper run` with volunteers and the control API, as one process, spoken to by curl and by its own commands."""

import json
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from shaper.cli.running import settled

POLICY = """
version: 1
study: together
targets: {photos: {hosts: ["photos.example.org", "test.shaper.lab"]}}
rules: [{name: slow, target: photos, media: [image, video], caps: [{rate: 400 kbit/s}]}]
"""
SHAPER = (sys.executable, "-m", "shaper")


@contextmanager
def running(directory, *more):
    """Start it; return what it said, by label."""
    policy = directory / "policy.yaml"
    policy.write_text(POLICY)
    process = subprocess.Popen(
        [
            *SHAPER, "run", "--policy", policy, "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0",
            "--ca-dir", directory / "ca", "--journal", directory / "journal.jsonl", *more,
        ],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    said = {}
    while "journal" not in said and (line := process.stdout.readline()):
        label, _, value = line.strip().partition(" ")
        said[label] = value.strip()
    try:
        yield said
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
        said["errors"], said["exit"] = errors, process.returncode


def curl(*arguments):
    done = subprocess.run(
        ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code} %{http_connect}", "--max-time", "20", *arguments],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    return [int(code) for code in done.stdout.split()]


def shaper(*arguments):
    return subprocess.run([*SHAPER, *map(str, arguments)], check=True, capture_output=True, text=True).stdout


def test_an_invitation_leads_to_the_test_through_the_proxy(tmp_path, needs):
    needs("curl", "apt-get install curl")
    database, token = tmp_path / "people.sqlite", tmp_path / "token"
    control = "127.0.0.1:{}".format(settled(("127.0.0.1", 0))[1])
    options = ["--volunteers", database, "--require-auth", "--site", "127.0.0.1:0", "--organisation", "A Lab"]
    options += ["--contact", "lab@example.org", "--control", control, "--control-token", token]
    with running(tmp_path, *options) as said:
        proxy = said["proxy"].partition(";")[0]
        link = shaper("invite", "--volunteers", database, "--study", "together", "--site", said["site"]).strip()
        deadline = time.monotonic() + 20  # the running proxy looks every half second
        while curl(link)[0] != 302 and time.monotonic() < deadline:
            time.sleep(0.2)
        username, password = re.search(r"join/(\w+)-(\w+)", link).groups()
        person = ["--proxy-user", f"{username}:{password}"]
        assert curl("-x", proxy, "http://shaper.lab/")[0] in {200, 302}  # open to all
        assert curl("-x", proxy, "-k", "https://test.shaper.lab/photos/dusk.jpg")[1] == 407
        assert curl("-x", proxy, *person, "-k", "https://test.shaper.lab/photos/dusk.jpg") == [200, 200]
        assert curl("-x", proxy, *person, "http://169.254.169.254/")[0] == 502  # nobody's business
        ctl = ["ctl", "--control", f"http://{control}", "--token", token]
        status = json.loads(shaper(*ctl, "--json", "status"))
        assert status["proxy"]["study"] == "together"
        shaper(*ctl, "pause")
        assert json.loads(shaper(*ctl, "--json", "status"))["proxy"]["paused"] is True
        assert curl("-H", "Authorization: Bearer wrong", f"http://{control}/v1/status")[0] == 401
        metrics = subprocess.run(["curl", "-s", said["metrics"]], check=True, capture_output=True, text=True).stdout
    assert 'shaper_volunteers{state="joined"} 0.0' in metrics  # invited, but has not consented
    assert 'shaper_refused_requests_total{status="401",surface="control"} 1.0' in metrics
    assert 'shaper_refused_destinations_total{reason="metadata"} 1.0' in metrics
    assert (said["exit"], "Traceback" in said["errors"]) == (0, False)
    assert (tmp_path / "journal.jsonl").read_text() == ""  # without consent nothing is recorded


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--listen", "0.0.0.0:0"], "without credentials"),
        (["--require-auth"], "nobody has credentials"),
        (["--control", "0.0.0.0:0"], "others could reach it"),
        (["--allow-destination", "http://x"], "--allow-destination"),
    ],
)
def test_what_would_not_be_safe_is_refused_in_one_line(tmp_path, options, problem):
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    command = ["run", "--policy", policy, "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--ca-dir", tmp_path]
    done = subprocess.run([*SHAPER, *command, *options], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert problem in done.stderr
    assert done.stderr.count("\n") == 1

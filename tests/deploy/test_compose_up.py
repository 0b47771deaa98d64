"""compose.yaml brought up by podman-compose: the proxy, and Debian's Prometheus in place of its makers' image.

`make image-test` makes both. The ports are those of the file, so nothing else may use them.
"""

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml
from questions import Prometheus

IMAGE, PROMETHEUS = os.environ.get("SHAPER_IMAGE"), os.environ.get("SHAPER_PROMETHEUS")
pytestmark = [
    pytest.mark.skipif(not (IMAGE and PROMETHEUS), reason="images take minutes to build: make image-test"),
    pytest.mark.timeout(300),
]

DEPLOY = Path(__file__).parents[2] / "deploy"
PROJECT = "shaper-test"  # whose volumes are removed; those of a study on this machine are another's
LIMITS = {"nofile": 1024, "nproc": 1024}  # not all machines may raise them
SERVICES = {"proxy": {"image": IMAGE, "ulimits": LIMITS}, "prometheus": {"image": PROMETHEUS, "ulimits": LIMITS}}


def podman(*words):
    return subprocess.run(["podman", *words], capture_output=True, text=True, check=False)


def container(service):
    labels = {"project": PROJECT, "service": service}
    only = [f"--filter=label=io.podman.compose.{name}={value}" for name, value in labels.items()]
    return podman("ps", "--quiet", *only).stdout.strip()


def until(true, patience=90):
    """Wait until something is so."""
    deadline = time.monotonic() + patience
    while not true():
        assert time.monotonic() < deadline, [podman("logs", container(service)).stderr for service in SERVICES]
        time.sleep(0.5)


@pytest.fixture(scope="module")
def compose(needs, tmp_path_factory):
    """What runs a command of compose, while the two services are up."""
    program = needs("podman-compose", "pipx install podman-compose")
    here = tmp_path_factory.mktemp("compose") / "here.yaml"
    here.write_text(yaml.safe_dump({"services": SERVICES}))

    def run(*words):
        command = [program, "-p", PROJECT, "-f", DEPLOY / "compose.yaml", "-f", here, *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    up = run("up", "--detach", *SERVICES)
    try:
        assert all(container(service) for service in SERVICES), up.stdout + up.stderr
        yield run
    finally:
        run("down", "--volumes")


@pytest.fixture
def known(compose):
    """What asks the Prometheus that is up whether it knows of something."""
    prometheus = Prometheus("http://127.0.0.1:9090")

    def known(query):
        try:
            return prometheus.now(query, time.time())
        except urllib.error.URLError:
            return None

    return known


@pytest.mark.parametrize("service", SERVICES)
def test_its_health_check_passes_without_root_capabilities_or_a_disk_to_write_on(compose, service):
    name = container(service)
    until(lambda: podman("healthcheck", "run", name).returncode == 0)
    status = dict(
        line.split(":\t") for line in podman("exec", name, "cat", "/proc/1/status").stdout.splitlines() if ":\t" in line
    )
    described = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"][service]
    assert status["Uid"].split()[0] == described["user"].split(":")[0]
    assert {status[key] for key in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"
    (kept,) = (target for source, target in (v.split(":")[:2] for v in described["volumes"]) if source == service)
    assert podman("exec", name, "touch", f"{kept}/x", "/tmp/x").returncode == 0
    assert "Read-only file system" in podman("exec", "--user=0", name, "touch", "/etc/x").stderr
    (limits,) = (one["HostConfig"] for one in json.loads(podman("container", "inspect", name).stdout))
    assert (limits["Memory"], limits["PidsLimit"]) == (2 << 30, described["pids_limit"])


def test_prometheus_scrapes_the_proxy_and_sees_what_is_asked_of_it(known):
    until(lambda: known('up{job="shaper"} == 1 and on (instance) shaper_policy_info{study="example"}'))
    ask = urllib.request.build_opener(urllib.request.ProxyHandler({"http": "http://127.0.0.1:8080"}))
    with pytest.raises(urllib.error.HTTPError, match="502"):
        ask.open("http://127.0.0.1:1/", timeout=20)
    until(lambda: known('shaper_refused_destinations_total{reason="loopback"} == 1'))


def test_prometheus_evaluates_all_rules(known):
    files = (yaml.safe_load(path.read_text()) for path in (DEPLOY / "prometheus/rules").glob("*.yml"))
    there = sum(len(group["rules"]) for file in files for group in file["groups"])
    until(lambda: known("up"))

    def healthy():
        groups = Prometheus("http://127.0.0.1:9090").ask("rules")["groups"]
        return sum(rule["health"] == "ok" for group in groups for rule in group["rules"]) == there

    until(healthy)


def test_the_policy_is_reloaded_as_the_document_says(compose, known):
    until(lambda: known('shaper_reloads_total{result="ok"} == 1'))
    assert "compose kill --signal HUP proxy" in (DEPLOY.parent / "docs/deploy.md").read_text()
    compose("kill", "--signal", "HUP", "proxy")
    until(lambda: known('shaper_reloads_total{result="ok"} == 2'))

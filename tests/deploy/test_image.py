"""The image, as `make image-test` built it, run as it is meant to be: not root, read-only, without capabilities."""

import json
import os
import subprocess
import time

import pytest

IMAGE = os.environ.get("SHAPER_IMAGE")
pytestmark = pytest.mark.skipif(not IMAGE, reason="the image takes minutes to build: make image-test")

CONFINED = (
    "--runtime=runc", "--network=none", "--read-only", "--cap-drop=all", "--security-opt=no-new-privileges",
    "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024", "--no-healthcheck",
)  # fmt: skip


def podman(*arguments, **options):
    return subprocess.run(["podman", *arguments], capture_output=True, text=True, check=False, **options)


@pytest.fixture
def proxy():
    """A running proxy, by its container's id."""
    limit = ("run", "--limit", "image,video *.example.org 150 kbit/s")
    started = podman("run", "--detach", *CONFINED, IMAGE, *limit)
    assert started.returncode == 0, started.stderr
    container = started.stdout.strip()
    yield container
    podman("rm", "--force", "--time", "0", container)


def serves(container):
    """Wait until a container's own health check passes."""
    check = json.loads(podman("image", "inspect", IMAGE).stdout)[0]["Healthcheck"]["Test"]
    assert check[0] == "CMD"
    deadline = time.monotonic() + 60
    while (said := podman("exec", container, *check[1:])).returncode:
        assert time.monotonic() < deadline, said.stderr
        time.sleep(0.2)
    return check[1:]


def test_the_demo_passes_inside():
    shown = podman("run", "--rm", *CONFINED, IMAGE, "demo", timeout=100)
    assert shown.returncode == 0, shown.stdout + shown.stderr


def test_it_runs_as_nobody_in_particular_with_no_capability_and_cannot_write(proxy):
    status = dict(line.split(":\t") for line in podman("exec", proxy, "cat", "/proc/1/status").stdout.splitlines())
    assert status["Uid"].split() == ["10001"] * 4
    assert {status[key] for key in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {"0" * 16}
    assert podman("exec", proxy, "touch", "/opt/shaper/x").returncode != 0
    assert podman("exec", proxy, "touch", "/var/lib/shaper/x").returncode == 0  # the CA and the journal


def test_its_health_check_tells_a_proxy_that_serves_from_one_that_does_not(proxy):
    program, *words = serves(proxy)
    assert podman("run", "--rm", *CONFINED, "--entrypoint", program, IMAGE, *words).returncode != 0


def test_it_stops_when_it_is_told_to(proxy):
    serves(proxy)
    podman("stop", "--time", "20", proxy)
    assert json.loads(podman("container", "inspect", proxy).stdout)[0]["State"]["ExitCode"] == 0

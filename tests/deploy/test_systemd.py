"""The unit as systemd reads it, the command in it as `shaper` reads it, and the way there on plain Debian."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SYSTEMD = ROOT / "deploy/systemd"
SHAPER = Path(sys.executable).parent / "shaper"
BASE = os.environ.get("SHAPER_BASE")


@pytest.fixture
def systemd(needs):
    return needs("systemd-analyze", "apt-get install systemd")


def placed(directory, *, police=False):
    """Put the unit where nothing else is, with a program that is there."""
    unit = directory / "shaper.service"
    unit.write_text((SYSTEMD / "shaper.service").read_text().replace("/opt/shaper/bin/shaper", str(SHAPER)))
    if police:
        shutil.copytree(SYSTEMD / "shaper.service.d", directory / "shaper.service.d")
    return unit


@pytest.mark.parametrize("police", [False, True], ids=["as it is", "with the drop-in for police"])
def test_systemd_has_nothing_to_say_about_the_unit(systemd, tmp_path, police):
    verify = [systemd, "verify", "--man=no", placed(tmp_path, police=police)]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("police", "words"), [(False, "scores"), (True, "with the drop-in")])
def test_the_exposure_is_what_the_document_states(systemd, tmp_path, police, words):
    judge = [systemd, "security", "--offline=true", "--no-pager", placed(tmp_path, police=police)]
    said = subprocess.run(judge, capture_output=True, text=True, check=True).stdout
    score = float(re.search(r"Overall exposure level.*: ([\d.]+)", said)[1])
    stated = float(re.search(rf"{words} ([\d.]+\d)", (ROOT / "docs/deploy.md").read_text())[1])
    assert score <= stated


def test_only_the_drop_in_gives_a_capability():
    unit, police = (SYSTEMD / name for name in ("shaper.service", "shaper.service.d/police.conf"))
    assert re.findall(r"^\w*Capabilit\w*=.*", unit.read_text(), re.M) == ["CapabilityBoundingSet="]
    given = re.findall(r"^\w*Capabilit\w*=(.*)", police.read_text(), re.M)
    assert given == ["CAP_NET_ADMIN", "CAP_NET_ADMIN"]


def test_the_command_starts_reloads_and_stops(tmp_path):
    line = re.search(r"^ExecStart=\S+ (.*)", (SYSTEMD / "shaper.service").read_text(), re.M)[1]
    places = {"/etc/shaper/policy.yaml": str(ROOT / "policies/example.yaml"), "/var/lib/shaper": str(tmp_path)}
    for said, here in places.items():
        line = line.replace(said, here)
    options = shlex.split(line.replace("$SHAPER_OPTIONS", "--listen 127.0.0.1:0 --metrics 127.0.0.1:0"))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([SHAPER, *options], env=os.environ | {"HOME": str(tmp_path)}, **pipes) as proxy:
        try:
            assert any(each.strip().startswith("journal") for each in proxy.stdout)
            proxy.send_signal(signal.SIGHUP)
            assert any("Reloaded" in each for each in proxy.stderr)
        finally:
            proxy.send_signal(signal.SIGTERM)
            proxy.stdout.read()
    assert proxy.returncode == 0
    assert (tmp_path / ".shaper/example/shaper-ca.pem").exists()


@pytest.mark.skipif(not BASE, reason="installing on a bare Debian takes minutes: make image-test")
@pytest.mark.timeout(600)
def test_a_bare_debian_has_the_service_after_one_command():
    trial = """
        set -eu
        apt-get update -qq && apt-get install -qq --yes --no-install-recommends python3-venv systemd >/dev/null 2>&1
        mkdir /src && tar -C /checkout --exclude=.git --exclude=.venv -c . | tar -C /src -x
        /src/deploy/debian/install.sh && /src/deploy/debian/install.sh >/dev/null
        systemd-analyze verify --man=no /etc/systemd/system/shaper.service
        cd / && setpriv --reuid=65534 --regid=65534 --clear-groups /opt/shaper/bin/shaper demo
    """
    told = [
        f"--volume={place}:{place}:ro"
        for place in ("/etc/pip.conf", "/usr/local/share/ca-certificates")
        if Path(place).exists()
    ]
    run = ["podman", "run", "--rm", "--runtime=runc", "--network=host", f"--volume={ROOT}:/checkout:ro", *told]
    limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"]
    done = subprocess.run(
        [*run, *limits, BASE, "sh", "-c", trial], capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "systemctl enable --now shaper" in done.stdout
    assert "Within tolerance" in done.stdout

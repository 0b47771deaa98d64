"""What `compose up` brings up: valid, confined, reachable from this machine only, and made of parts that fit."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
BIN = Path(sys.executable).parent
SERVICES = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
DOCUMENT = (DEPLOY.parent / "docs/deploy.md").read_text()
OVERRIDE = yaml.safe_load(re.search(r"^```yaml\n(.*?)```", DOCUMENT, re.M | re.S)[1])
OPTIONS = re.search(r'^    SHAPER_OPTIONS="(.*?)"', DOCUMENT, re.M | re.S)[1].replace("\\\n", "")
WITH_VOLUNTEERS = {
    "compose": OVERRIDE["services"]["proxy"]["command"],
    "Debian": ["run", "--policy=/etc/shaper/study.yaml", *shlex.split(OPTIONS)],
}


def resolved(text):
    """Return what compose makes of `${NAME:-default}` when nothing is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def mounts(service):
    """Yield source and target of what is mounted from the checkout."""
    for volume in service["volumes"]:
        source, target, *_ = resolved(volume).split(":")
        if source.startswith("."):
            yield DEPLOY / source, target


def test_the_file_is_what_compose_reads():
    check = [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml"]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_hadolint_has_nothing_to_say_about_the_containerfile():
    done = subprocess.run([BIN / "hadolint", DEPLOY / "Containerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_confined_and_watched(name):
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"].split(":")[0] != "0"
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert (service.get("healthcheck", {}).get("test", "") != "") == (name != "proxy")  # which has its image's
    for source, target in mounts(service):
        assert source.exists()
        assert resolved(next(v for v in service["volumes"] if f":{target}" in v)).endswith(":ro")


def test_everything_listens_on_this_machine_only():
    """A service on the machine's network takes no published ports, so its own address is the one that counts."""
    assert {service["network_mode"] for service in SERVICES.values()} == {"host"}
    assert not any("ports" in service for service in SERVICES.values())
    options = [resolved(option) for name in ("proxy", "prometheus") for option in SERVICES[name]["command"]]
    addresses = [
        option.partition("=")[2] for option in options if re.match(r"--(listen|metrics|web.listen-address)=", option)
    ]
    addresses.append(SERVICES["grafana"]["environment"]["GF_SERVER_HTTP_ADDR"])
    assert len(addresses) == 4
    assert all(address.startswith("127.0.0.1") for address in addresses)


def test_the_parts_find_each_other():
    options = dict(option[2:].split("=", 1) for option in SERVICES["proxy"]["command"][1:])
    (scraped,) = yaml.safe_load((DEPLOY / "prometheus/targets/shaper.yml").read_text())
    assert scraped["targets"] == [options["metrics"]]
    grafana = SERVICES["grafana"]
    (provider,) = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/shaper.yml").read_text())["providers"]
    places = {target: source for source, target in mounts(grafana)}
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert provider["options"]["path"] == str(home.parent)
    assert json.loads((places[str(home.parent)] / home.name).read_text())["panels"]
    assert (
        f"--web.listen-address={grafana['environment']['PROMETHEUS_URL'].removeprefix('http://')}"
        in SERVICES["prometheus"]["command"]
    )


@contextmanager
def running(command, home):
    """The proxy as a command of ours starts it, but with files and ports of its own; it must end as it should."""
    places = {
        "/etc/shaper/study.yaml": str(DEPLOY.parent / "policies/example.yaml"),
        "/etc/shaper": str(DEPLOY.parent / "policies"),
        "/var/lib/shaper": str(home),
    }
    for said, here in places.items():
        command = [option.replace(said, here) for option in command]
    command = [re.sub(r"(\b(?:127\.0\.0\.1|0\.0\.0\.0)):\d+$", r"\1:0", option) for option in command]
    with subprocess.Popen(
        [BIN / "shaper", *command], stdout=subprocess.PIPE, text=True, env=os.environ | {"HOME": str(home)}
    ) as proxy:
        try:
            yield proxy
        finally:
            proxy.send_signal(signal.SIGTERM)
            proxy.stdout.read()
    assert proxy.returncode == 0


def test_the_proxys_command_serves_and_passes_its_own_health_check(tmp_path):
    command = [resolved(option) for option in SERVICES["proxy"]["command"]]
    assert f"http://{command[3].partition('=')[2]}/healthz" in (DEPLOY / "Containerfile").read_text()
    with running(command, tmp_path) as proxy:
        metrics = next(line.split()[1] for line in proxy.stdout if line.strip().startswith("metrics "))
        with urllib.request.urlopen(metrics.replace("/metrics", "/healthz"), timeout=20) as answer:
            assert answer.status == 200


@pytest.mark.parametrize("way", WITH_VOLUNTEERS)
def test_the_options_for_a_study_with_volunteers_in_the_document_serve(way, tmp_path):
    more = ["--site=127.0.0.1:0", "--metrics=127.0.0.1:0"]
    with running([*WITH_VOLUNTEERS[way], *more], tmp_path) as proxy:
        assert any("https://lab.example.org" in line for line in proxy.stdout)

"""The measured episode with real drops, from its shipped file: `shaper run`, a volunteer and curl, each on a machine of
its own as far as the network can tell.
"""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shaper.lab.origin import Origin
from shaper.record import journal
from tests.running_study import RIGHT, Person, running_study, until

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "deploy/testbed"))

import testbed  # noqa: E402

NAME = f"episode{os.getpid()}"
POLICY = (ROOT / "policies" / "twitter-2021-measured-police.yaml").read_text()
SLOWED, FREE = "pbs.twimg.com", "media.test"
DOWN, UP = f"fwd to {2**31 - 1}", " drop"  # how the kernel's rules end
SIZE = 50_000  # bytes; the bucket lets 20,798 by, so 1.6 s at 150 kbit/s


def within(who):
    """Return what runs functions in a network of the testbed; threads and processes that they start are there too."""
    namespace = os.open(f"/run/netns/{NAME}-{who}", os.O_RDONLY)
    return ThreadPoolExecutor(1, initializer=lambda: (os.setns(namespace, os.CLONE_NEWNET), os.close(namespace)))


@pytest.fixture
def networks(needs):
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root: run pytest with sudo")
    for program, package in (("ip", "iproute2"), ("ethtool", "ethtool"), ("nft", "nftables"), ("curl", "curl")):
        needs(program, f"apt-get install {package}")
    try:
        testbed.up(0.02, NAME)
        with within(testbed.PROXY) as proxy, within(testbed.ORIGIN) as origin:
            yield proxy, origin
    finally:
        testbed.down(NAME)


class Client:
    """Curl, with a volunteer's credentials. It trusts the origin's CA alone: nobody may decrypt between them."""

    def __init__(self, running, origin):
        person = Person(running.invite())
        assert "You take part now" in person.post("/consent", "/consent", **RIGHT | {"read": "none"})
        self._through = f"http://{person.login.username}:{person.login.password}@{running.proxy}"
        self._trusted = origin.ca_pem

    def seconds(self, url, *options):
        """Return how long it took; a body that is cut short is an error."""
        command = [*testbed.inside(testbed.CLIENT, NAME), "curl", "-sSf", "-x", self._through]
        command += ["--cacert", self._trusted, "-o", "/dev/null", "-w", "%{time_total}", *options, url]
        return float(subprocess.run(command, capture_output=True, timeout=60, check=True).stdout)


def tables():
    return subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout


def dropped(how):
    """Return how many packets ended so, by the kernel's counters."""
    lines = [line.split() for line in tables().splitlines() if line.endswith(how)]
    return sum(int(line[line.index("packets") + 1]) for line in lines)


def drops_both_ways(client, upload):
    download = f"/bytes?size={SIZE}"
    client.seconds(f"https://{FREE}{download}")
    assert (dropped(DOWN), dropped(UP)) == (0, 0)
    assert client.seconds(f"https://{SLOWED}{download}") > 1.0
    assert dropped(DOWN) > 5
    assert client.seconds(f"https://{SLOWED}/upload", "-T", upload) > 1.0
    assert dropped(UP) > 5


def test_the_measured_episode_drops_packets_both_ways_and_leaves_no_table(networks, tmp_path):
    in_proxy, in_origin = networks
    origin = Origin([SLOWED, FREE])
    origin.host = testbed.ORIGIN_ADDRESS
    routes = [part for host in (SLOWED, FREE) for part in ("--connect-to", f"{host}:443:{origin.host}:PORT")]
    (tmp_path / "upload").write_bytes(bytes(SIZE))

    def study():
        """Run it twice: killed, and ended as one ends it."""
        for end, status in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 0)):
            assert tables() == ""
            options = ["--listen", f"{testbed.PROXY_ADDRESS}:0", "--journal", tmp_path / f"{end.name}.jsonl"]
            options += [option.replace("PORT", str(origin.port)) for option in routes]
            with running_study(tmp_path, POLICY, *options) as running:
                assert f"shaper_{running.process.pid}" in tables()
                drops_both_ways(Client(running, origin), tmp_path / "upload")
                running.process.send_signal(end)
                assert running.process.wait(30) == status
            assert until(lambda: tables() == "")
        return list(journal.read(tmp_path / "SIGTERM.jsonl"))

    in_origin.submit(origin.__enter__).result()
    try:
        records = in_proxy.submit(study).result()
    finally:
        in_origin.submit(origin.__exit__, None, None, None).result()
    assert {(record.level, record.rule) for record in records} == {("connection", "whole-connections")}
    whole = [(record.direction, record.outcome) for record in records if record.received > SIZE]
    assert sorted(whole) == [("down", "complete"), ("up", "complete")]

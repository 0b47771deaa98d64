"""The testbed, built for real: three networks and the line between them."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy/testbed/testbed.py"
NAME = f"tb{os.getpid()}"

sys.path.insert(0, str(SCRIPT.parent))

import testbed  # noqa: E402

ECHO = """
import socket
server = socket.create_server(("10.77.1.1", 5000))
print("ready", flush=True)
while True:
    one, _ = server.accept()
    while data := one.recv(4096):
        one.sendall(data)
"""
ROUND_TRIPS = """
import socket, time
import socket, time
one = socket.create_connection(("10.77.1.1", 5000))
times = []
for _ in range(5):
    sent = time.monotonic()
    one.sendall(b"x"), one.recv(1)
    times.append(time.monotonic() - sent)
print(min(times))
"""


@pytest.fixture
def machine(needs):
    """Skip where no testbed can be; leave none behind."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root: run pytest with sudo")
    needs("ip", "apt-get install iproute2")
    needs("ethtool", "apt-get install ethtool")
    yield
    testbed.down(NAME)


def namespaces():
    shown = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    return {line.split()[0] for line in shown.splitlines() if line.startswith(NAME)}


def run(*arguments, **options):
    return subprocess.run([sys.executable, SCRIPT, *arguments], check=False, capture_output=True, text=True, **options)


def start(who, code):
    process = subprocess.Popen([*testbed.inside(who, NAME), sys.executable, "-c", code], stdout=subprocess.PIPE)
    process.stdout.readline()
    return process


def test_a_round_trip_takes_as_long_as_was_asked(machine):
    assert run("up", "--rtt", "40", "--name", NAME).returncode == 0
    start(testbed.PROXY, ECHO)
    client = [*testbed.inside(testbed.CLIENT, NAME), sys.executable, "-c", ROUND_TRIPS]
    taken = float(subprocess.run(client, capture_output=True, text=True, check=True).stdout)
    assert 0.040 <= taken < 0.080


def test_packets_are_as_on_a_wire_and_the_origin_is_reached_through_the_proxys_machine(machine):
    testbed.up(name=NAME)
    link = subprocess.run(
        [*testbed.inside(testbed.CLIENT, NAME), "ethtool", "-k", "proxy"], capture_output=True, text=True, check=True
    ).stdout
    for offload in ("tcp-segmentation-offload", "generic-segmentation-offload", "generic-receive-offload"):
        assert f"{offload}: off" in link
    start(testbed.ORIGIN, ECHO.replace("10.77.1.1", "10.77.2.2"))
    client = [
        *testbed.inside(testbed.CLIENT, NAME),
        sys.executable,
        "-c",
        ROUND_TRIPS.replace("10.77.1.1", "10.77.2.2"),
    ]
    assert subprocess.run(client, check=False).returncode == 0


def test_up_replaces_what_a_crash_left_and_down_may_be_said_twice(machine):
    testbed.up(0.02, NAME)
    left = start(testbed.PROXY, ECHO)
    subprocess.run(["ip", "-n", f"{NAME}-client", "link", "delete", "path"], check=True)  # half of it is gone
    assert run("up", "--name", NAME).returncode == 0
    assert left.wait(5) == -9
    assert namespaces() == {f"{NAME}-client", f"{NAME}-proxy", f"{NAME}-origin"}
    assert run("down", "--name", NAME).returncode == run("down", "--name", NAME).returncode == 0
    assert namespaces() == set()


def test_a_namespace_of_somebody_else_is_left_alone(machine):
    theirs = f"{NAME}-proxy"
    subprocess.run(["ip", "netns", "add", theirs], check=True)
    try:
        for what in ("up", "down"):
            said = run(what, "--name", NAME)
            assert said.returncode == 1
            assert (
                said.stderr == f"testbed: {theirs}: this namespace is not the testbed's: choose another with --name\n"
            )
        assert namespaces() == {theirs}
    finally:
        subprocess.run(["ip", "netns", "delete", theirs], check=True)


def test_who_is_not_root_is_told_so_in_one_line(needs):
    python = needs("/usr/bin/python3", "apt-get install python3")  # one that a stranger may run
    with tempfile.TemporaryDirectory() as aside:
        Path(aside).chmod(0o755)
        script = shutil.copy(SCRIPT, aside)
        stranger = 65534 if os.geteuid() == 0 else None
        said = subprocess.run([python, script, "up"], user=stranger, check=False, capture_output=True, text=True)
    assert (said.returncode, said.stderr) == (1, "testbed: network namespaces need root: run this with sudo\n")


def test_the_quick_bench_makes_its_table(machine, needs, tmp_path):
    needs("nft", "apt-get install nftables")
    bench = [sys.executable, ROOT / "bench/fidelity", "--quick", "--name", NAME, tmp_path / "run"]
    made = subprocess.run(bench, check=False, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    rows = {row[1].strip(): row for line in made.stdout.splitlines() if (row := line.split("|"))[1:]}
    drops = {name: int(row[-2]) for name, row in rows.items() if row[-2].strip().isdigit()}
    assert drops["policer, token bucket"] > 5
    assert drops["`manner: police`"] > 5
    assert drops["`manner: window`, 1 s"] == 0

"""The tables in a real kernel, in a network of their own; and the words when there can be none."""

import os
import subprocess
import sys

import pytest

from shaper.proxy.ruleset import unavailable

ALONE = ["unshare", "--net", sys.executable, "-c"]
DEVICES = """
import subprocess, time
from shaper.proxy.ruleset import Ruleset

def guarded(device):
    return f'device "{device}"' in subprocess.check_output(["nft", "list", "ruleset"], text=True)

def until(true):
    end = time.monotonic() + 5
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return true()

ruleset = Ruleset()
assert until(lambda: guarded("lo"))
assert not guarded("late")
for _ in range(2):  # a device that went and came again is another one
    subprocess.run(["ip", "link", "add", "late", "type", "veth", "peer", "name", "other"], check=True)
    ruleset.cover_devices()
    assert until(lambda: guarded("late"))
    subprocess.run(["ip", "link", "delete", "late"], check=True)
    ruleset.cover_devices()
ruleset.close()
assert until(lambda: not subprocess.check_output(["nft", "list", "ruleset"]))
"""


def test_devices_that_come_and_go_are_covered(needs):
    if os.geteuid() != 0:
        pytest.skip("a network of its own needs root: run pytest with sudo")
    needs("nft", "apt-get install nftables")
    done = subprocess.run([*ALONE, DEVICES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_machine_without_nft_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert unavailable() == "nft is not installed (apt-get install nftables)"


def test_a_process_without_the_capability_says_which_it_needs(needs):
    needs("nft", "apt-get install nftables")
    without = ["setpriv", "--bounding-set=-net_admin"] if os.geteuid() == 0 else []
    say = [sys.executable, "-c", "from shaper.proxy.ruleset import unavailable; print(unavailable())"]
    said = subprocess.run([*without, *say], capture_output=True, text=True, check=True).stdout
    assert said.startswith("the capability NET_ADMIN is missing (")

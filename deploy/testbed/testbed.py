#!/usr/bin/env python3
"""A client, a proxy and an origin on one machine, each with a network of its own.

    sudo deploy/testbed/testbed.py up [--rtt 50]    build it, in place of an earlier one
    sudo deploy/testbed/testbed.py down             take it down
    sudo ip netns exec shaper-client curl …         run something at the client

    shaper-client            shaper-path           shaper-proxy             shaper-origin
      10.77.1.2  ══ veth ══  delay, each way  ══ veth ══  10.77.1.1 | 10.77.2.1  ══ veth ══  10.77.2.2

The links have an MTU of 1500 and no offloads, so that packets are as on a wire: over loopback the kernel hands on
64 KiB at a time, which no policer and no pacing meets in a network. The proxy's machine routes, so the client also
reaches the origin directly. Needs root, iproute2 and ethtool, and nothing else: not even netem (line.py delays).

What is true here: `up` and `down` may be said at any time, also after a crash. A namespace is touched only if it
bears our mark, the alias of its loopback device; processes inside a marked one are ended with it.
"""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

MARK = "shaper-testbed"
CLIENT, PROXY, ORIGIN, PATH = "client", "proxy", "origin", "path"
CLIENT_ADDRESS, PROXY_ADDRESS, ORIGIN_ADDRESS = "10.77.1.2", "10.77.1.1", "10.77.2.2"
PROXY_TO_ORIGIN = "10.77.2.1"
LINE = Path(__file__).with_name("line.py")


class TestbedError(Exception):
    """Why there is no testbed, in one line."""


def up(rtt=0.0, name="shaper"):
    """Build the testbed with a round trip of `rtt` seconds between client and proxy, in place of an earlier one."""
    _check_machine()
    down(name)
    try:
        for who in (CLIENT, PROXY, ORIGIN, *([PATH] if rtt else ())):
            _make(_namespace(name, who))
        _link(name, PROXY, f"{PROXY_TO_ORIGIN}/24", ORIGIN, f"{ORIGIN_ADDRESS}/24")
        if rtt:
            _link(name, CLIENT, f"{CLIENT_ADDRESS}/24", PATH)
            _link(name, PROXY, f"{PROXY_ADDRESS}/24", PATH)
            _delay(name, rtt / 2)
        else:
            _link(name, CLIENT, f"{CLIENT_ADDRESS}/24", PROXY, f"{PROXY_ADDRESS}/24")
        _run("ip", "-n", _namespace(name, CLIENT), "route", "add", "default", "via", PROXY_ADDRESS)
        _run("ip", "-n", _namespace(name, ORIGIN), "route", "add", "default", "via", PROXY_TO_ORIGIN)
        _run(*inside(PROXY, name), "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
    except BaseException:
        down(name)
        raise


def down(name="shaper"):
    """End what runs in the testbed's namespaces, and remove them."""
    for who in (CLIENT, PROXY, ORIGIN, PATH):
        namespace = _namespace(name, who)
        if not Path("/run/netns", namespace).exists():
            continue
        if not _is_ours(namespace):
            raise TestbedError(f"{namespace}: this namespace is not the testbed's: choose another with --name")
        while pids := _run("ip", "netns", "pids", namespace).split():
            for pid in pids:
                _kill(int(pid))
            time.sleep(0.02)
        _run("ip", "netns", "delete", namespace)


def inside(who, name="shaper"):
    """Return what to put before a command for it to run as `who`."""
    return ("ip", "netns", "exec", _namespace(name, who))


def _check_machine():
    if os.geteuid() != 0:
        raise TestbedError("network namespaces need root: run this with sudo")
    for program, package in (
        ("ip", "iproute2"),
        ("ethtool", "ethtool"),
        ("sysctl", "procps"),
        ("unshare", "util-linux"),
    ):
        if not shutil.which(program):
            raise TestbedError(f"{program} is not installed: apt-get install {package}")


def _namespace(name, who):
    return f"{name}-{who}"


def _make(namespace):
    """Make a namespace, marked before it has a name: a crash leaves none of ours without our mark."""
    _run("unshare", "--net", "sh", "-ec",
         f"ip link set lo alias {MARK} up\n"
         "sysctl -q -w net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1\n"
         f"ip netns attach {namespace} $$")  # fmt: skip


def _is_ours(namespace):
    shown = subprocess.run(("ip", "-n", namespace, "link", "show", "lo"), check=False, capture_output=True, text=True)
    return MARK in shown.stdout


def _link(name, one, one_address, other, other_address=None):
    """Join two namespaces by a veth pair; each end is called after the other side."""
    here, there = _namespace(name, one), _namespace(name, other)
    _run("ip", "-n", here, "link", "add", other, "mtu", "1500", "type", "veth",
         "peer", "name", one, "mtu", "1500", "netns", there)  # fmt: skip
    for namespace, device, address in ((here, other, one_address), (there, one, other_address)):
        _run("ip", "netns", "exec", namespace, "ethtool", "-K", device,
             "tso", "off", "gso", "off", "gro", "off", "tx", "off", "rx", "off", "sg", "off")  # fmt: skip
        if address:
            _run("ip", "-n", namespace, "address", "add", address, "dev", device)
        # Linux's TCP makes packets of several segments even without offloads, unless the device takes only one.
        _run("ip", "-n", namespace, "link", "set", device, "gso_max_segs", "1", "up")


def _delay(name, delay):
    """Carry packets between the path's two devices, each way late by `delay` seconds."""
    command = (*inside(PATH, name), sys.executable, str(LINE), CLIENT, PROXY, f"{delay:.6f}")
    quiet = {"stdin": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True, **quiet) as line:
        if not line.stdout.readline():
            raise TestbedError(f"{LINE}: the line did not start")
        line.returncode = 0  # it stays when we are gone; `down` ends it


def _kill(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _run(*command):
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or [f"exit status {done.returncode}"]
        raise TestbedError(f"{' '.join(command)}: {said[-1]}")
    return done.stdout


def main():
    """Do what the command line asks."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("what", choices=["up", "down"])
    asked.add_argument("--rtt", type=float, default=0.0, metavar="MS", help="round trip between client and proxy")
    asked.add_argument("--name", default="shaper", help="what the namespaces' names begin with (default: shaper)")
    options = asked.parse_args()
    try:
        if options.what == "up":
            up(options.rtt / 1000, options.name)
            print(f"{options.name}-client {CLIENT_ADDRESS}   {options.name}-proxy {PROXY_ADDRESS} {PROXY_TO_ORIGIN}   "
                  f"{options.name}-origin {ORIGIN_ADDRESS}   round trip {options.rtt:g} ms")  # fmt: skip
        else:
            _check_machine()
            down(options.name)
    except TestbedError as error:
        sys.exit(f"testbed: {error}")


if __name__ == "__main__":
    main()

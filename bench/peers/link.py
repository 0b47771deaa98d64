"""Over what the client and the peers are joined: loopback, or a veth pair as of deploy/testbed.

Over veth this process, which is the client, enters the testbed's client, and what it starts runs at the testbed's
proxy, the origin too. All still listen on 127.0.0.1, as shaper does without authentication: what the client sends there
goes over the pair, and the other end hands it to its own 127.0.0.1. So no configuration knows of the link.
"""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from bench.program import Program

sys.path.insert(0, str(Path(__file__).parents[2] / "deploy" / "testbed"))

import testbed

LINKS = ("loopback", "veth")
NAME = "shaper-peers"

SEND = f"""
table ip peers {{
  chain output {{ type nat hook output priority -100; ip daddr 127.0.0.1 dnat to {testbed.PROXY_ADDRESS}; }}
  chain leaving {{ type nat hook postrouting priority 100; oifname "{testbed.PROXY}" masquerade; }}
}}
"""
TAKE = f"""
table ip peers {{
  chain coming {{ type nat hook prerouting priority -100; iifname "{testbed.CLIENT}" dnat to 127.0.0.1; }}
}}
"""


@contextmanager
def over(link):
    """Have clients here and programs that are started meanwhile joined by that link."""
    if link == "loopback":
        yield
        return
    with Path("/proc/self/ns/net").open() as home:
        try:
            testbed.up(name=NAME)
            for who, rules in ((testbed.CLIENT, SEND), (testbed.PROXY, TAKE)):
                inside = testbed.inside(who, NAME)
                subprocess.run([*inside, "sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1"], check=True)
                subprocess.run([*inside, "nft", "-f", "-"], input=rules, text=True, check=True)
            with Path(f"/run/netns/{NAME}-{testbed.CLIENT}").open() as client:
                os.setns(client.fileno(), os.CLONE_NEWNET)
            Program.within = testbed.inside(testbed.PROXY, NAME)
            yield
        except (testbed.TestbedError, subprocess.CalledProcessError) as error:
            raise SystemExit(f"--over veth: {error}") from None
        finally:
            Program.within = ()
            os.setns(home.fileno(), os.CLONE_NEWNET)
            testbed.down(NAME)

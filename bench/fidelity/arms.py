"""What is compared: the proxy's manners, and two policers in the path that really drop. All at 128 kbit/s.

Each arm is measured under its own host name (the policy knows it by that) and its own client address (the policers in
the path know it by that). Both policers are measured twice: what two runs of one policer differ by is the yardstick.
"""

from dataclasses import dataclass

from shaper.measure.run import Truth

RATE, DEPTH = 128_000, 16_000  # bit/s; bytes: one second of it
SIZE = 100_000  # bytes of a flow: a photo


@dataclass(frozen=True)
class Arm:
    name: str
    address: str  # of the client
    truth: Truth
    words: str

    @property
    def host(self):
        return f"{self.name}.test"


BUCKET, WINDOW = "bucket", "window-policer"
POLICERS = (BUCKET, WINDOW)
ARMS = (
    Arm(BUCKET, "10.77.1.10", Truth(manner="police", rate=RATE, burst=DEPTH), "policer, token bucket"),
    Arm(f"{BUCKET}-again", "10.77.1.11", Truth(manner="police", rate=RATE, burst=DEPTH), "the same again"),
    Arm(WINDOW, "10.77.1.12", Truth(manner="police", rate=RATE, burst=0), "policer, 1 s window"),
    Arm(f"{WINDOW}-again", "10.77.1.13", Truth(manner="police", rate=RATE, burst=0), "the same again"),
    Arm("smooth", "10.77.1.14", Truth(manner="smooth", rate=RATE, burst=DEPTH), "`manner: smooth`, burst 16 kB"),
    Arm("window", "10.77.1.15", Truth(manner="window", rate=RATE, burst=DEPTH), "`manner: window`, 1 s"),
    Arm("police", "10.77.1.16", Truth(manner="police", rate=RATE, burst=DEPTH), "`manner: police`"),
)

CAPS = {
    "smooth": "{scope: connection, rate: 128 kbit/s, burst: 16 kB}",
    "window": "{scope: connection, rate: 128 kbit/s, manner: window, window: 1 s}",
    "police": "{scope: connection, rate: 128 kbit/s, burst: 1 B, manner: police}",  # nft adds a second of rate
}


def policy():
    """Return the policy file: whole connections of three hosts are slowed; the policers' pass."""
    lines = ["version: 1", "study: fidelity", "targets:"]
    lines += [f"  {name}: {{hosts: [{name}.test]}}" for name in CAPS]
    lines += ["rules:"]
    lines += [
        f"  - {{name: {name}, target: {name}, level: connection, direction: down, caps: [{cap}]}}"
        for name, cap in CAPS.items()
    ]
    return "\n".join(lines) + "\n"


def policers(port):
    """Return the policers as nftables rules for the client's door: what comes from the proxy's port is dropped there.

    The token bucket is nft's, which holds one second of rate beside its burst. The window is a quota that begins with
    the first packet after the last one ended, a second earlier.
    """
    bucket, window = (", ".join(arm.address for arm in ARMS if arm.name.startswith(name)) for name in POLICERS)
    key, flows = "ip daddr . tcp dport", "type ipv4_addr . inet_service; size 65535; flags dynamic,timeout;"
    over, spent = f"limit rate over {RATE // 8} bytes/second burst 1 bytes", f"timeout 1s quota over {DEPTH} bytes"
    return f"""
table ip policers {{
  set buckets {{ {flows}; timeout 600s; }}
  set windows {{ {flows}; }}
  chain door {{
    type filter hook prerouting priority 0;
    tcp sport != {port} accept;
    ip daddr {{ {bucket} }} update @buckets {{ {key} {over} }} counter drop;
    ip daddr {{ {window} }} add @windows {{ {key} {spent} }} counter drop;
  }}
}}
"""

"""The rules by which the kernel drops packets: nftables' tables that live as long as this process, however it ends.

They belong to an nft process (`flags owner`), which ends when our end of its pipe closes, whatever ended us.

What goes to a client is lost at the egress of its device, by being sent on to a device that does not exist. `drop`
would not do, neither there nor in an output chain: it tells TCP, which then keeps the packet as not sent and its
window as it was, and retransmits nothing. Here the sender learns of a loss as in a network, by what is not
acknowledged (docs/fidelity.md shows both). What comes from a client is dropped before our TCP sees it, which tells
nobody. nft's `burst B` lets B and one second of rate by.
"""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from shaper.pacing.limit import Limit, Scope
from shaper.policy.model import Direction

NET_ADMIN = 12  # its bit, capabilities(7)
NOWHERE = 2**31 - 1  # the index of no device
ROOM = (
    "size 65535; flags dynamic,timeout; timeout 600s;"  # of connections, kept for ten minutes after their last packet
)
FAMILIES = (("ip", "ipv4_addr"), ("ip6", "ipv6_addr"))


def unavailable() -> str | None:
    """Return why this machine cannot drop packets for us, in a few words, or None."""
    if not shutil.which("nft"):
        return "nft is not installed (apt-get install nftables)"
    effective = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff"))
    if not int(effective.split()[1], 16) >> NET_ADMIN & 1:
        return "the capability NET_ADMIN is missing (run as root, or with setcap or AmbientCapabilities)"
    table, any_limit = f"shaper_{os.getpid()}_trial", Limit(Scope.CONNECTION, 16_000, 1)
    trial = [*_tables(table), *_chain(table, 1, "lo"), *_rules(table, 1, any_limit, Direction.BOTH)]
    said = subprocess.run(["nft", "-c", "-f", "-"], input="\n".join(trial), capture_output=True, text=True, check=False)  # noqa: S607
    return said.stderr.splitlines()[0] if said.returncode else None


class Ruleset:
    """Our tables. A packet meets the rules of its mark once, at the first device it leaves by."""

    def __init__(self) -> None:
        """Make the tables, without rules yet."""
        self.table = f"shaper_{os.getpid()}"
        self._devices: set[tuple[int, str]] = set()
        self._nft = subprocess.Popen(
            ["nft", "-i"],  # noqa: S607
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"HOME": os.devnull},  # it would keep a history there
            process_group=0,  # Ctrl-C is for us: what is under way is policed until it is done
        )
        self._tell(_tables(self.table))
        self.cover_devices()

    def add(self, mark: int, limit: Limit, direction: Direction) -> None:
        """Limit each connection that bears this mark."""
        self._tell(_rules(self.table, mark, limit, direction))

    def cover_devices(self) -> None:
        """Guard the devices that came since the last call."""
        present = set(socket.if_nameindex())
        for index, name in present - self._devices:
            self._tell(_chain(self.table, index, name))
        self._devices = present

    def close(self) -> None:
        """Remove the tables."""
        self._nft.communicate()

    def _tell(self, commands: Iterator[str]) -> None:
        assert self._nft.stdin
        self._nft.stdin.write("".join(f"{command}\n" for command in commands).encode())
        self._nft.stdin.flush()


def _tables(table: str) -> Iterator[str]:
    yield f"table netdev {table} {{ flags owner; }}"
    yield f"add chain netdev {table} police"
    yield f"table inet {table} {{ flags owner; }}"
    yield f"add chain inet {table} police {{ type filter hook input priority 0; }}"


def _chain(table: str, index: int, device: str) -> Iterator[str]:
    yield f'add chain netdev {table} leave_{index} {{ type filter hook egress device "{device}" priority 0; }}'
    yield f"add rule netdev {table} leave_{index} jump police"


def _rules(table: str, mark: int, limit: Limit, direction: Direction) -> Iterator[str]:
    over = f"limit rate over {round(limit.rate)} bytes/second burst {max(1, round(limit.burst))} bytes"
    for family, address in FAMILIES:
        flows = f"{family}_{mark:x}"
        if direction is not Direction.UP:
            yield f"add set netdev {table} {flows} {{ type {address} . inet_service; {ROOM} }}"
            yield (
                f"add rule netdev {table} police meta mark {mark:#x} "
                f"update @{flows} {{ {family} daddr . tcp dport {over} }} counter fwd to {NOWHERE}"
            )
        if direction is not Direction.DOWN:
            yield f"add set inet {table} {flows} {{ type {address} . inet_service; {ROOM} }}"
            yield (
                f"add rule inet {table} police socket mark {mark:#x} "
                f"update @{flows} {{ {family} saddr . tcp sport {over} }} counter drop"
            )
    if direction is not Direction.UP:
        yield f"add rule netdev {table} police meta mark {mark:#x} meta mark set 0"  # a VLAN leaves by two devices

"""Packet-true policing: the kernel drops what is over the rate, on the sockets that carry a policed transfer.

A socket is marked (SO_MARK) while it carries one, and nftables limits the packets of each mark, connection by
connection: what goes out by the packet's mark, what comes in by the socket's. All of a marked connection is policed,
siblings on it included, as by the devices that this reproduces. nft's `burst B` lets B and about one second of rate by.

The rules live in a table that the kernel ties to the nft process that made it (`flags owner`). That process ends when
our end of its pipe closes, whatever ended us, and the table with it.
"""

import asyncio
import fcntl
import os
import shutil
import socket
import subprocess
import termios
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

from shaper.pacing.limit import Limit, Manner
from shaper.policy.model import Direction, Rule
from shaper.policy.refused import RefusedError
from shaper.proxy.clock import monotonic
from shaper.proxy.ticker import Ticker

NET_ADMIN = 12  # its bit, capabilities(7)
FIRST_MARK = 0x5A01
UNSENT = 16_384  # bytes that the kernel takes beyond what it may send
ROOM = (
    "size 65535; flags dynamic,timeout; timeout 600s;"  # of connections; the episode's state was kept for ten minutes
)


type Order = tuple[Limit, Direction]
"""What is to be policed, and which way, seen from the client."""

CHAINS = {  # the hook, how a marked connection is known there, and its far end
    Direction.DOWN: ("out", "meta mark", "daddr . tcp dport"),
    Direction.UP: ("in", "socket mark", "saddr . tcp sport"),
}


def order_of(rule: Rule) -> Order | None:
    """Return what a rule asks the kernel to drop, if it does."""
    return next(((limit, rule.direction) for limit in rule.limits if limit.manner is Manner.POLICE), None)


def unavailable() -> str | None:
    """Return why this machine cannot police for us, in a few words, or None."""
    if not shutil.which("nft"):
        return "nft is not installed (apt-get install nftables)"
    effective = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff"))
    if not int(effective.split()[1], 16) >> NET_ADMIN & 1:
        return "the capability NET_ADMIN is missing (run as root, or with setcap or AmbientCapabilities)"
    return None


class Police:
    """The table, and which sockets are marked."""

    def __init__(self) -> None:
        """Make the table, or refuse."""
        if reason := unavailable():
            raise RefusedError(
                f"manner police: the kernel cannot drop packets for us: {reason}", "use smooth or window"
            )
        self.table = f"shaper_{os.getpid()}"
        self._marks: dict[Order, int] = {}
        self._carried: defaultdict[socket.socket, list[int]] = defaultdict(list)
        self._nft = subprocess.Popen(  # noqa: S603
            [shutil.which("nft") or "nft", "-i"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._tell(
            f"table inet {self.table} {{ flags owner; }}",
            f"add chain inet {self.table} out {{ type filter hook output priority 0; }}",
            f"add chain inet {self.table} in {{ type filter hook input priority 0; }}",
        )

    def enforce(self, orders: Iterable[Order]) -> None:
        """Have rules for these. Those of earlier policies stay: transfers under way keep their verdict."""
        for order in orders:
            if order in self._marks:
                continue
            limit, direction = order
            mark = self._marks[order] = FIRST_MARK + len(self._marks)
            rate = f"limit rate over {round(limit.rate)} bytes/second burst {max(1, round(limit.burst))} bytes"
            for way in (Direction.DOWN, Direction.UP) if direction is Direction.BOTH else (direction,):
                chain, key, far = CHAINS[way]
                for family, kind in (("ip", "ipv4_addr"), ("ip6", "ipv6_addr")):
                    flows = f"{chain}_{family}_{mark:x}"
                    self._tell(
                        f"add set inet {self.table} {flows} {{ type {kind} . inet_service; {ROOM} }}",
                        f"add rule inet {self.table} {chain} {key} {mark:#x} add @{flows} "
                        f"{{ {family} {far} {rate} }} counter drop",
                    )

    def mark(self, writer: asyncio.StreamWriter, order: Order) -> None:
        """Police this connection from now on. Of several orders for one connection the latest rules."""
        sock = writer.get_extra_info("socket")
        self._carried[sock].append(self._marks[order])
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, self._marks[order])
        # What waits unsent in the kernel would hide from our measurement, and the origin would run ahead of it.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)

    def settle(self, writer: asyncio.StreamWriter, order: Order, ticker: Ticker, then: Callable[[bool], None]) -> None:
        """Take back one `mark` once the client has acknowledged all that was written, or is gone; then call `then`."""

        def look(now: float) -> None:
            acknowledged = _is_acknowledged(writer)
            if acknowledged or writer.is_closing():
                self._unmark(writer, order)
                then(acknowledged)
            else:
                ticker.call_at(now + 0.02, look)

        look(monotonic())

    def _unmark(self, writer: asyncio.StreamWriter, order: Order) -> None:
        sock = writer.get_extra_info("socket")
        carried = self._carried[sock]
        if self._marks[order] in carried:
            carried.remove(self._marks[order])
        if not carried:
            del self._carried[sock]
        if sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, carried[-1] if carried else 0)

    def close(self) -> None:
        """Remove the table."""
        self._nft.communicate()

    def _tell(self, *commands: str) -> None:
        assert self._nft.stdin
        self._nft.stdin.write("".join(f"{command}\n" for command in commands).encode())
        self._nft.stdin.flush()


def _is_acknowledged(writer: asyncio.StreamWriter) -> bool:
    if writer.is_closing() or writer.transport.get_write_buffer_size():
        return False
    waiting = array("i", [0])
    fcntl.ioctl(writer.get_extra_info("socket").fileno(), termios.TIOCOUTQ, waiting)  # SIOCOUTQ, tcp(7)
    return waiting[0] == 0

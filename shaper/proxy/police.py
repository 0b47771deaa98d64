"""Packet-true policing: the kernel drops what is over the rate, on the sockets that carry a policed transfer.

A socket is marked (SO_MARK) while it carries one, and a ruleset of nftables limits the packets of each mark,
connection by connection. All of a marked connection is policed, siblings on it included, as by the devices that this
reproduces.
"""

import asyncio
import contextlib
import socket
from collections import defaultdict
from collections.abc import Callable, Iterable

from shaper.pacing.limit import Limit, Manner
from shaper.policy.model import Direction, Rule
from shaper.policy.refused import RefusedError
from shaper.proxy.clock import monotonic
from shaper.proxy.delivery import Delivery
from shaper.proxy.ruleset import Ruleset, unavailable
from shaper.proxy.ticker import Ticker

FIRST_MARK = 0x5A01
UNSENT = 16_384  # bytes that the kernel takes beyond what it may send

type Order = tuple[Limit, Direction]
"""What is to be policed, and which way, seen from the client."""


def order_of(rule: Rule) -> Order | None:
    """Return what a rule asks the kernel to drop, if it does."""
    return next(((limit, rule.direction) for limit in rule.limits if limit.manner is Manner.POLICE), None)


class Police:
    """Which sockets are marked, and with what."""

    def __init__(self) -> None:
        """Prepare the kernel, or refuse."""
        if reason := unavailable():
            raise RefusedError(
                f"manner police: the kernel cannot drop packets for us: {reason}", "use smooth or window"
            )
        self._ruleset = Ruleset()
        self._marks: dict[Order, int] = {}
        self._carried: defaultdict[socket.socket, list[int]] = defaultdict(list)

    def enforce(self, orders: Iterable[Order]) -> None:
        """Have rules for these. Those of earlier policies stay: transfers under way keep their verdict."""
        for order in orders:
            if order not in self._marks:
                self._marks[order] = FIRST_MARK + len(self._marks)
                self._ruleset.add(self._marks[order], *order)

    def mark(self, writer: asyncio.StreamWriter, order: Order) -> None:
        """Police this connection from now on. Of several orders for one connection the latest rules."""
        self._ruleset.cover_devices()
        sock = writer.get_extra_info("socket")
        self._carried[sock].append(self._marks[order])
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, self._marks[order])
        # What waits unsent in the kernel would hide from our measurement, and the origin would run ahead of it.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)

    def settle(self, writer: asyncio.StreamWriter, order: Order, ticker: Ticker, then: Callable[[bool], None]) -> None:
        """Take back one `mark` once the client has all that was written until now, or is gone; then call `then`."""

        def look(now: float) -> None:
            arrived = delivery.arrived() if delivery else False
            if arrived is None:
                ticker.call_at(now + 0.02, look)
            else:
                self._unmark(writer, order)
                then(arrived)

        delivery: Delivery | None = None
        with contextlib.suppress(OSError):
            delivery = Delivery(writer)
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
        """Remove the rules."""
        self._ruleset.close()

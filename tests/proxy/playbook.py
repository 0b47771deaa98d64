"""A layer without sockets: events in, and what it did to its two peers out, in order, under a clock that tests turn.

mitmproxy's own tester of this kind is not part of its packages, and knows nothing of bytes that leave by the lane.
"""

import asyncio
import heapq
import sys
from dataclasses import dataclass, field
from itertools import count, groupby
from math import inf
from types import SimpleNamespace

from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.connection import Client, Connection, ConnectionState
from mitmproxy.options import Options
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.server import ConnectionIO

from shaper.proxy import clock, gate, trailers
from shaper.proxy.bell import Bell, Rung
from shaper.proxy.ticker import Alarm


class Ticker:
    """Stands in for the proxy's timer and for its clock; time passes in `Playbook.wait` only."""

    stretch, grain = 1.0, 0.0

    def __init__(self):
        self.now, self.demanded = 1000.0, 0.0
        self._heap, self._numbers = [], count()

    @property
    def armed(self) -> int:
        """How many alarms are set."""
        return sum(alarm.callback is not None for _, _, alarm in self._heap)

    def together(self, what, callback):
        callback()

    @property
    def next_at(self) -> float:
        """When the next alarm is due."""
        return self._heap[0][0] if self._heap else inf

    def call_at(self, when, callback):
        alarm = Alarm(callback)
        self.set(alarm, when)
        return alarm

    def set(self, alarm, when):
        assert all(alarm is not other for _, _, other in self._heap), "an alarm is set twice"
        alarm.when = when
        heapq.heappush(self._heap, (when, next(self._numbers), alarm))

    def demand(self, wakes):
        self.demanded += wakes

    def pass_time(self, seconds):
        end = self.now + seconds
        while self._heap and self._heap[0][0] <= end:
            when, _, alarm = heapq.heappop(self._heap)
            self.now = max(self.now, when)
            if alarm.callback:
                alarm.callback(self.now)
        self.now = end


class Writer(asyncio.StreamWriter):
    """Writer and transport of a fake connection. `unsent` is what its peer has not taken."""

    def __init__(self, say):
        self.say, self.unsent, self.closing, self.reading, self.max_size = say, 0, False, True, 0

    transport = property(lambda self: self)
    __del__ = lambda self: None  # noqa: E731
    is_closing = lambda self: self.closing  # noqa: E731
    is_reading = lambda self: self.reading  # noqa: E731
    get_write_buffer_size = lambda self: self.unsent  # noqa: E731
    get_extra_info = lambda self, name: None  # noqa: E731
    get_protocol = lambda self: None  # noqa: E731
    set_protocol = lambda self, protocol: None  # noqa: E731
    set_write_buffer_limits = lambda self, high: None  # noqa: E731
    write = lambda self, data: self.say(data)  # noqa: E731

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True


@dataclass
class Playbook:
    """`done` lists what happened: (peer, bytes) or (peer, "open" or "close"), where peer is client or origin."""

    ticker: Ticker
    hooks: dict = field(default_factory=dict)  # functions by hook name, for what an addon would do

    def __post_init__(self):
        gate.install()
        trailers.install()
        options = Options()
        Proxyserver().load(options)
        peer = ("192.0.2.1", 50_000)
        self.client = Client(peername=peer, sockname=("192.0.2.2", 8080), timestamp_start=0, state=ConnectionState.OPEN)
        self.context = Context(self.client, options)
        self.done, self.layer, self._bells = [], None, []
        watchdog = SimpleNamespace(register_activity=lambda: None)
        self.handler = SimpleNamespace(transports={}, max_conns={}, timeout_watchdog=watchdog)
        self._open(self.client)

    def start(self, layer):
        self.layer = layer
        return self.feed(events.Start())

    def to(self, peer) -> bytes:
        """Return all bytes that `peer` was sent and that were not asked for yet."""
        data = b"".join(each for whom, each in self.done if whom == peer and isinstance(each, bytes))
        self.done = [each for each in self.done if each[0] != peer or not isinstance(each[1], bytes)]
        return data

    @property
    def transcript(self):
        """What happened, with the bytes that went to one peer in a row joined."""
        runs = groupby(self.done, lambda each: (each[0], isinstance(each[1], bytes)))
        return [
            step
            for (peer, is_data), run in runs
            for step in ([(peer, b"".join(data for _, data in run))] if is_data else list(run))
        ]

    def receive(self, peer, data):
        return self.feed(events.DataReceived(self._connection(peer), data))

    def close(self, peer, state=ConnectionState.CAN_WRITE):
        """Have a peer close its side, or, with state CLOSED, be gone."""
        connection = self._connection(peer)
        connection.state = state
        return self.feed(events.ConnectionClosed(connection))

    def wait(self, seconds):
        end = self.ticker.now + seconds
        while self.ticker.next_at <= end:
            self.ticker.pass_time(max(0, self.ticker.next_at - self.ticker.now))
            self._ring()
        self.ticker.pass_time(end - self.ticker.now)
        return self._ring()

    def is_held(self, peer) -> bool:
        """Whether the socket of `peer` is not read."""
        return not self.writer(peer).reading

    def writer(self, peer) -> Writer:
        return self.handler.transports[self._connection(peer)].writer

    def feed(self, event):
        replies = []
        for command in self.layer.handle_event(event):
            match command:
                case commands.SendData():
                    self.done.append((self._name(command.connection), command.data))
                case commands.CloseConnection():
                    self.done.append((self._name(command.connection), "close"))
                    command.connection.state = ConnectionState.CLOSED
                    self.handler.transports.pop(command.connection, None)
                case commands.OpenConnection():
                    self.done.append(("origin", "open"))
                    self._open(command.connection)
                    replies.append(events.OpenConnectionCompleted(command, None))
                case commands.StartHook():
                    self.hooks.get(command.name, lambda *_: None)(*command.args())
                    replies.append(events.HookCompleted(command)) if command.blocking else None
                case Bell():
                    self._bells.append(command)
        for reply in replies:
            self.feed(reply)
        return self.wait(0)

    def _ring(self):
        while bell := next((bell for bell in self._bells if bell._rung.is_set()), None):
            self._bells.remove(bell)
            self.feed(Rung(bell))
        return self

    def _open(self, connection):
        connection.state, connection.timestamp_start = ConnectionState.OPEN, 0
        writer = Writer(lambda data: self.done.append((self._name(connection), data)))
        self.handler.transports[connection] = ConnectionIO(reader=asyncio.StreamReader(), writer=writer)
        gate.put_before(connection, self.handler)

    def _name(self, connection) -> str:
        return "client" if connection is self.client else "origin"

    def _connection(self, peer) -> Connection:
        return (
            self.client if peer == "client" else next(each for each in self.handler.transports if each != self.client)
        )


def turn_clock(monkeypatch) -> Ticker:
    """Have everything in the proxy read the returned ticker's clock."""
    ticker, real = Ticker(), clock.monotonic
    for name, module in list(sys.modules.items()):
        if name.startswith("shaper.proxy.") and getattr(module, "monotonic", None) is real:
            monkeypatch.setattr(module, "monotonic", lambda: ticker.now)
    return ticker

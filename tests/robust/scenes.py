"""Scenes for the laws: a proxy's layer between two played peers, and random steps that they take.

`bench.fuzz` plays the same scenes for as long as it is told, looking for ways through the code that none took before.
"""

import asyncio
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace

import h2.config
import h2.connection
import h2.events
import pytest
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes
from hypothesis import note
from hypothesis import strategies as st
from mitmproxy.connection import ConnectionState, Server
from mitmproxy.proxy.layers.http import HTTPMode

from shaper.policy.admission import Standing
from shaper.policy.judge import Judge
from shaper.policy.verdict import Person
from shaper.proxy.shaping import Shaping
from shaper.proxy.stream import ShapedHttpLayer
from shaper.proxy.tunnel import ShapedTunnel
from shaper.proxy.visitor import Visitor
from shaper.record.metrics import Metrics
from tests.proxy.conftest import policy
from tests.proxy.playbook import Playbook, turn_clock

METRICS = Metrics()
SIDES = ("client", "origin")
ONE = {"level": "connection", "media": None, "caps": [{"scope": "connection", "rate": "8 kbit/s", "burst": "100 B"}]}
TUNNELS = [
    {},
    {"direction": "both"},
    {"direction": "up"},
    {"direction": "both", "freeze_after": "700 B"},
    {"direction": "both", "after": "300 B"},
]

data = st.binary(min_size=1, max_size=3000)
waits = st.sampled_from([0.0, 0.02, 0.3, 2.0])
sides = st.sampled_from(SIDES)


class Scene:
    """What all scenes have: a clock, a proxy's parts, a playbook, and records."""

    def __init__(self, ticker, rule) -> None:
        self.records, self.ticker = [], ticker
        recorder = SimpleNamespace(record=self.records.append)
        self.shaping = Shaping(Judge(policy(**rule)), METRICS, [recorder], _ticker=ticker)
        self.book = Playbook(ticker, {"requestheaders": lambda flow: setattr(flow.request, "stream", True)})
        self.visitor = Visitor(self.book.client, self.book.handler, "192.0.2.1", Standing())

    def is_there(self, side) -> bool:
        present = self.book.handler.transports
        return (
            self.book.client in present if side == "client" else any(each is not self.book.client for each in present)
        )

    def fill(self, side, full) -> None:
        if self.is_there(side):
            self.book.writer(side).unsent = 100_000 * full

    def hang_up(self) -> None:
        """Have the client be gone; what its layers hold for it is let go, as the proxy does then."""
        if self.is_there("client"):
            self.book.close("client", ConnectionState.CLOSED)
        for layer in self.visitor.layers:
            layer.leave()

    def check_that_nothing_is_left(self) -> None:
        levels = self.shaping.levels
        assert not self.shaping.live
        assert (levels.backlog, levels.gated, levels.room) == (0, 0, 0)
        assert self.ticker.demanded == pytest.approx(0)
        for record in self.records:
            assert record.size <= record.received
            assert sum(seconds for _, seconds in record.waits()) == pytest.approx(record.duration)


@contextmanager
def clock():
    with pytest.MonkeyPatch.context() as patch:
        yield turn_clock(patch)


def played(scene):
    """Run a scene in an event loop of its own."""

    def play(*given, **more):
        async def run():
            with clock() as ticker:
                try:
                    scene(ticker, *given, **more)
                except BaseException:
                    note(f"{given} {more}")
                    raise

        asyncio.run(run())

    return play


class Tunnel(Scene):
    """A tunnel that is shaped as a whole."""

    steps = st.lists(
        st.one_of(
            st.tuples(st.just("send"), sides, data),
            st.tuples(st.just("wait"), waits),
            st.tuples(st.just("fill"), sides, st.booleans()),
            st.tuples(st.just("close"), sides, st.sampled_from([ConnectionState.CAN_WRITE, ConnectionState.CLOSED])),
        ),
        max_size=14,
    )

    def __init__(self, ticker, rule) -> None:
        super().__init__(ticker, ONE | rule)
        self.sent, self.got = dict.fromkeys(SIDES, b""), dict.fromkeys(SIDES, b"")
        self.closed = {}
        self.book.context.server = Server(address=("www.media.test", 443))
        verdict = self.shaping.judge.decide_connection("www.media.test", Person(), datetime.now(UTC))
        self.book.start(ShapedTunnel(self.book.context, self.shaping, self.visitor, verdict))

    def play(self, what, *values) -> None:
        match what, values:
            case "send", (side, piece) if self.is_there(side) and side not in self.closed:
                self.sent[side] += piece
                self.book.receive(side, piece)
            case "wait", (seconds,):
                self.book.wait(seconds)
            case "fill", (side, full):
                self.fill(side, full)
            case "close", (side, state) if self.is_there(side) and side not in self.closed:
                self.closed[side] = state
                self.book.close(side, state)
        for side in SIDES:
            self.got[side] += self.book.to(side)


class Streams(Scene):
    """HTTP/2 on both sides, streams beside each other, bodies in both directions."""

    numbers = st.sampled_from([1, 3, 5])
    steps = st.lists(
        st.one_of(
            st.tuples(st.just("ask"), st.booleans()),
            st.tuples(
                st.just("answer"), numbers, st.sampled_from(["image/png", "text/css", "application/octet-stream"])
            ),
            st.tuples(st.just("send"), sides, numbers, data, st.booleans()),
            st.tuples(st.just("reset"), sides, numbers),
            st.tuples(st.just("wait"), waits),
            st.tuples(st.just("fill"), sides, st.booleans()),
            st.tuples(st.just("window"), st.sampled_from([0, 10, 1000, 65_535])),
            st.tuples(st.just("close"), sides),
        ),
        max_size=20,
    )

    def __init__(self, ticker, rule) -> None:
        super().__init__(ticker, rule)
        self.book.client.alpn = b"h2"
        self.book.context.server = Server(address=("www.media.test", 80), alpn=b"h2")
        self.book._open(self.book.context.server)
        configuration = {"header_encoding": "utf-8"}
        self.peers = {
            "client": h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, **configuration)),
            "origin": h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, **configuration)),
        }
        self.asked, self.answered, self.ours = 0, set(), {}  # requests, and the origin's streams for the client's
        self.sent, self.got = {}, {}  # bodies by receiver and the client's stream
        self.ended, self.complete, self.broken = set(), set(), set()  # by receiver and stream
        for peer in self.peers.values():
            peer.initiate_connection()
        self.book.start(ShapedHttpLayer(self.book.context, HTTPMode.transparent, self.shaping, self.visitor))
        self.exchange()

    def exchange(self) -> None:
        """Carry bytes to and fro until nobody has anything to say."""
        moved = True
        while moved:
            moved = False
            for side, peer in self.peers.items():
                outgoing = peer.data_to_send()
                if outgoing and self.is_there(side):
                    self.book.receive(side, outgoing)
                    moved = True
                if incoming := self.book.to(side):
                    for event in peer.receive_data(incoming):
                        self.see(side, peer, event)
                    moved = True

    def see(self, side, peer, event) -> None:
        stream = getattr(event, "stream_id", None)
        if side == "origin" and isinstance(event, h2.events.RequestReceived):
            number = int(dict(event.headers)[":path"].rpartition("/")[2])
            self.ours[number] = stream
        number = stream if side == "client" else next((n for n, ours in self.ours.items() if ours == stream), None)
        match event:
            case h2.events.ResponseReceived() if dict(event.headers)[":status"] != "200":
                self.broken.add(number)  # the proxy's own words about an origin
            case h2.events.DataReceived() | h2.events.StreamEnded() if side == "client" and number in self.broken:
                pass
            case h2.events.DataReceived():
                self.got[side, number] = self.got.get((side, number), b"") + event.data
                if event.flow_controlled_length:
                    peer.acknowledge_received_data(event.flow_controlled_length, stream)
            case h2.events.StreamEnded():
                self.complete.add((side, number))
            case h2.events.StreamReset():
                self.broken.add(number)
            case h2.events.ConnectionTerminated():
                self.broken.update({1, 3, 5})

    def play(self, what, *values) -> None:
        try:
            self.step(what, *values)
            self.exchange()
        except ProtocolError:  # a peer would not do this
            self.exchange()

    def step(self, what, *values) -> None:  # noqa: C901, a list of what peers may do
        client, origin = self.peers["client"], self.peers["origin"]
        match what, values:
            case "ask", (with_body,) if self.asked < 3:
                number = 2 * self.asked + 1
                path = f"/photo/{number}"
                head = {":method": "POST" if with_body else "GET", ":scheme": "http", ":authority": "www.media.test"}
                client.send_headers(number, [*head.items(), (":path", path)], end_stream=not with_body)
                self.asked += 1
                if not with_body:
                    self.ended.add(("origin", number))
            case "answer", (number, kind) if number in self.ours and number not in self.answered:
                self.answered.add(number)
                origin.send_headers(self.ours[number], [(":status", "200"), ("content-type", kind)])
            case "send", (side, number, piece, last):
                peer, receiver = (client, "origin") if side == "client" else (origin, "client")
                stream = number if side == "client" else self.ours.get(number, 0)
                may = stream and (side == "client" or number in self.answered)
                if may and (receiver, number) not in self.ended:
                    piece = piece[: max(0, peer.local_flow_control_window(stream))]
                    peer.send_data(stream, piece, end_stream=last)
                    self.sent[receiver, number] = self.sent.get((receiver, number), b"") + piece
                    if last:
                        self.ended.add((receiver, number))
            case "reset", (side, number):
                stream = number if side == "client" else self.ours.get(number, 0)
                if stream:
                    self.peers[side].reset_stream(stream)
                    self.broken.add(number)
            case "wait", (seconds,):
                self.exchange()
                self.book.wait(seconds)
            case "fill", (side, full):
                self.fill(side, full)
            case "window", (size,):
                client.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: size})
            case "close", (side,) if self.is_there(side):
                self.broken.update({1, 3, 5})
                self.book.close(side, ConnectionState.CAN_WRITE)


class Garbage(Scene):
    """Peers that send what they like, whole, in pieces or damaged."""

    words = st.sampled_from(
        [
            b"GET http://www.media.test/photo HTTP/1.1\r\nhost: www.media.test\r\n\r\n",
            b"POST http://www.media.test/ HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello",
            b"POST http://www.media.test/ HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\na: b\r\n\r\n",  # noqa: E501
            b"GET http://www.media.test/ HTTP/1.1\r\nexpect: 100-continue\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
            b"CONNECT www.media.test:443 HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.0\r\n\r\n",
            b"HEAD http://www.media.test/ HTTP/1.1\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n\r\n\x89PNG\r\n\x1a\n",
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\nabc",
            b"HTTP/1.1 204 No Content\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
            b"\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b"\x00", b":", b"\xff" * 20,
        ]
    )  # fmt: skip

    @staticmethod
    @st.composite
    def damaged(draw, words):
        word = bytearray(draw(words))
        for _ in range(draw(st.integers(0, 2))):
            at = draw(st.integers(0, len(word) - 1))
            match draw(st.sampled_from(["change", "drop", "insert", "cut"])):
                case "change":
                    word[at] = draw(st.integers(0, 255))
                case "drop" if len(word) > 1:
                    del word[at]
                case "insert":
                    word.insert(at, draw(st.integers(0, 255)))
                case "cut" if at:
                    del word[at:]
        return bytes(word)

    def __init__(self, ticker, rule) -> None:
        super().__init__(ticker, rule)
        self.book.start(ShapedHttpLayer(self.book.context, HTTPMode.regular, self.shaping, self.visitor))

    def play(self, what, *values) -> None:
        match what, values:
            case "say", (side, word) if self.is_there(side):
                self.book.receive(side, word)
            case "wait", (seconds,):
                self.book.wait(seconds)
            case "close", (side,) if self.is_there(side):
                self.book.close(side)


Garbage.steps = st.lists(
    st.one_of(
        st.tuples(st.just("say"), sides, Garbage.damaged(Garbage.words)),
        st.tuples(st.just("wait"), waits),
        st.tuples(st.just("close"), sides),
    ),
    max_size=8,
)

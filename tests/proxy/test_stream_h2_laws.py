"""HTTP/2 by chance: each of two streams gets what was sent or an error, whatever becomes of the other."""

import asyncio
from types import SimpleNamespace

import h2.events
import pytest
from h2.errors import ErrorCodes
from hypothesis import given, settings
from hypothesis import strategies as st
from mitmproxy.connection import Server
from mitmproxy.proxy.layers.http import HTTPMode

from shaper.lab.payload import Stream, whole
from shaper.policy.admission import Standing
from shaper.policy.judge import Judge
from shaper.proxy.shaping import Shaping
from shaper.proxy.stream import ShapedHttpLayer
from shaper.proxy.visitor import Visitor
from shaper.record.metrics import Metrics
from tests.proxy.conftest import policy
from tests.proxy.playbook import Playbook, turn_clock
from tests.proxy.test_stream_h2 import IMAGE, PAGE, Peers

METRICS = Metrics()
STREAMS = {1: IMAGE, 3: PAGE}
CONTENT = whole(Stream(400_000))

steps = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from([1, 3]), st.sampled_from([1, 90, 500, 3000, 20_000]).map(lambda size: ("data", size))
        ),
        st.tuples(st.sampled_from([1, 3]), st.sampled_from(["end", "trailers", "origin resets", "client resets"])),
        st.tuples(st.just(0), st.sampled_from([0, 0.02, 0.5, 3.0])),
        st.tuples(st.just(0), st.sampled_from(["goaway", "client takes", "client takes nothing"])),
    ),
    max_size=14,
)


class Play:
    """Two exchanges on one connection towards each side."""

    def __init__(self, ticker, latency):
        self.records, self.book = [], Playbook(ticker)
        rule = {"latency": {"mean": "300 ms"}} if latency else {}
        recorder = SimpleNamespace(record=self.records.append)
        self.shaping = Shaping(Judge(policy(**rule)), METRICS, [recorder], _ticker=ticker)
        visitor = Visitor(self.book.client, self.book.handler, "192.0.2.1", Standing())
        self.book.client.alpn = b"h2"
        server = self.book.context.server = Server(address=("www.media.test", 80), alpn=b"h2")
        self.book._open(server)
        layer = ShapedHttpLayer(self.book.context, HTTPMode.transparent, self.shaping, visitor)
        self.peers = Peers(self.book, layer, window=3000)
        self.ours = {stream: self.peers.ask(stream) for stream in STREAMS}
        for stream, head in STREAMS.items():
            self.peers.origin.send_headers(self.ours[stream], head)
        self.sent, self.ends = dict.fromkeys(STREAMS, b""), {}
        self.peers.exchange()

    def step(self, stream, what):
        peers, origin = self.peers, self.peers.origin
        if isinstance(what, float | int):
            peers.wait(what)
        elif what == "goaway":
            origin._data_to_send += h2.connection.GoAwayFrame(0, last_stream_id=max(self.ours.values())).serialize()
        elif stream == 0:
            peers.takes = what == "client takes"
            if peers.takes:
                self.give_back()
        elif stream not in self.ends:
            self.play(stream, what)
        peers.exchange()

    def play(self, stream, what):
        origin, ours = self.peers.origin, self.ours[stream]
        match what:
            case ("data", size):
                at, size = len(self.sent[stream]), min(size, origin.local_flow_control_window(ours), 16_384)
                origin.send_data(ours, CONTENT[at : at + size])
                self.sent[stream] += CONTENT[at : at + size]
            case "end":
                origin.end_stream(ours)
            case "trailers":
                origin.send_headers(ours, [("x-sum", "1")], end_stream=True)
            case "origin resets":
                origin.reset_stream(ours, ErrorCodes.INTERNAL_ERROR)
            case "client resets":
                self.peers.client.reset_stream(stream, ErrorCodes.CANCEL)
        if isinstance(what, str):
            self.ends[stream] = what

    def give_back(self):
        """Open the client's windows for all that it did not take."""
        client = self.peers.client
        client.increment_flow_control_window(100_000)
        for stream in STREAMS:
            over = self.peers.of(stream, h2.events.StreamEnded | h2.events.StreamReset)
            if not over and self.ends.get(stream) != "client resets":
                client.increment_flow_control_window(100_000, stream)


@settings(max_examples=100, deadline=None)
@given(steps=steps, latency=st.booleans())
def test_each_stream_gets_what_was_sent_or_an_error_and_nothing_stays_behind(steps, latency):
    async def run():
        with pytest.MonkeyPatch.context() as patch:
            ticker = turn_clock(patch)
            play = Play(ticker, latency)
            for stream, what in steps:
                play.step(stream, what)
            play.step(0, "client takes")
            for _ in range(300):
                play.step(0, 1.0)
            for stream in STREAMS:
                body, how = play.peers.data(stream), play.ends.get(stream)
                ended = bool(play.peers.of(stream, h2.events.StreamEnded))
                reset = bool(play.peers.of(stream, h2.events.StreamReset))
                assert play.sent[stream].startswith(body)
                assert ended == (how in ("end", "trailers"))
                assert reset == (how == "origin resets")
                if how not in (
                    "client resets",
                    "origin resets",
                ):  # a reset drops what the client's window had no room for
                    assert body == play.sent[stream]
                assert bool(play.peers.of(stream, h2.events.TrailersReceived)) == (how == "trailers")
            assert len(play.records) == len(play.ends)
            assert play.shaping.levels.backlog == 0
            play.book.close("client")
            assert (len(play.shaping.live), play.shaping.levels.gated, len(play.records)) == (0, 0, 2)
            assert ticker.demanded == pytest.approx(0)
            for record in play.records:
                assert sum(seconds for _, seconds in record.waits()) == pytest.approx(record.duration)

    asyncio.run(run())

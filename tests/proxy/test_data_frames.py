"""DATA frames made by hand are h2's, byte by byte, and leave h2 in the same state, whatever the peer allows."""

import h2.config
import h2.connection
import h2.settings
from hypothesis import example, given
from hypothesis import strategies as st
from mitmproxy import options
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.connection import Client
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import Http2Server
from mitmproxy.test import taddons

from shaper.proxy.data_frames import PlainData

SIZES = st.sampled_from([0, 1, 255, 256, 16_383, 16_384, 16_385, 40_000, 70_000])

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("data"), st.integers(0, 2), SIZES),
        st.tuples(st.just("window"), st.integers(0, 2), st.sampled_from([1, 1000, 65_535])),
        st.tuples(st.just("room"), st.none(), st.sampled_from([1, 1000, 200_000])),
        st.tuples(st.just("frame size"), st.none(), st.sampled_from([16_384, 65_536])),
        st.tuples(st.just("initial window"), st.none(), st.sampled_from([0, 100, 65_535])),
        st.tuples(st.just("end"), st.integers(0, 2), st.none()),
        st.tuples(st.just("reset"), st.integers(0, 2), st.none()),
        st.tuples(st.just("goaway"), st.none(), st.none()),
    ),
    max_size=30,
)


class Quick(PlainData, Http2Server):
    """What the proxy uses towards clients, without the rest."""


class Pair:
    """A client of h2's own and a server of ours; every byte of the server is kept."""

    def __init__(self, kind: type[Http2Server]) -> None:
        with taddons.context(Proxyserver()) as context:
            self.opts: options.Options = context.options
            client = Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2), timestamp_start=0.0)
            self.server = kind(Context(client, self.opts)).h2_conn
        self.client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.out = b""
        self.server.initiate_connection()
        self.client.initiate_connection()
        self.streams = [1, 3, 5]
        for stream in self.streams:
            head = [(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/")]
            self.client.send_headers(stream, head, end_stream=stream != 5)  # the last is still uploading
        self.exchange()
        for stream in self.streams:
            self.server.send_headers(stream, [(":status", "200")])
        self.exchange()

    def exchange(self) -> None:
        self.server.receive_data(self.client.data_to_send())
        sent = self.server.data_to_send()
        self.out += sent
        self.client.receive_data(sent)

    def take(self, step: tuple) -> str:
        """Take one step; return the name of what went wrong in it, or nothing."""
        what, index, size = step
        stream = self.streams[index or 0]
        try:
            match what:
                case "data":
                    self.server.send_data(stream, bytes([stream]) * size)
                case "window":
                    self.client.increment_flow_control_window(size, stream)
                case "room":
                    self.client.increment_flow_control_window(size)
                case "frame size":
                    self.client.update_settings({h2.settings.SettingCodes.MAX_FRAME_SIZE: size})
                case "initial window":
                    self.client.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: size})
                case "end":
                    self.server.end_stream(stream)
                case "reset":
                    self.server.reset_stream(stream)
                case "goaway":
                    self.server.close_connection()
            self.exchange()
        except Exception as error:
            return type(error).__name__
        return ""

    def state(self) -> tuple:
        windows = [
            self.server.streams[each].outbound_flow_control_window
            for each in self.streams
            if each in self.server.streams
        ]
        waiting = {each: list(kept) for each, kept in self.server.stream_buffers.items() if kept}
        return self.server.outbound_flow_control_window, windows, waiting


@example([("data", 0, 70_000), ("data", 0, 0), ("window", 0, 65_535)])
@given(STEPS)
def test_frames_are_those_of_h2(steps):
    plain, quick = Pair(Http2Server), Pair(Quick)
    for step in steps:
        assert plain.take(step) == quick.take(step), step
        assert plain.out == quick.out
        assert plain.state() == quick.state()


def test_frames_are_made_by_hand(monkeypatch):
    quick = Pair(Quick)
    monkeypatch.setattr(h2.connection.H2Connection, "send_data", None)
    assert quick.take(("data", 0, 16_384)) == ""
    assert quick.out.endswith(b"\x00\x40\x00\x00\x00\x00\x00\x00\x01" + b"\x01" * 16_384)
    assert quick.take(("data", 0, 50_000)) == "TypeError"  # more than the window: h2's own way

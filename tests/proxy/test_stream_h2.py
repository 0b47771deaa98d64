"""Transcripts of HTTP/2 towards both sides: streams beside each other, windows, resets, trailers."""

import h2.config
import h2.connection
import h2.events
import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from mitmproxy.connection import Server
from mitmproxy.proxy.layers.http import HTTPMode

from shaper.proxy.gate import WINDOW
from shaper.proxy.stream import ShapedHttpLayer
from tests.proxy.conftest import policy

BODY = bytes(1100)
IMAGE = [(":status", "200"), ("content-type", "image/jpeg")]
PAGE = [(":status", "200"), ("content-type", "text/html")]


class Peers:
    """A client and an origin that speak HTTP/2, and the proxy's layer between them."""

    def __init__(self, book, layer, window=65_535, takes=True):
        self.book, self.takes = book, takes  # takes: the client gives back its windows
        self.client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.origin = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.seen = {"client": [], "origin": []}
        self.client.initiate_connection()
        self.client.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.origin.initiate_connection()
        book.start(layer)
        self.exchange()

    def exchange(self):
        """Carry bytes to and fro until nobody has anything to say."""
        moved = True
        while moved:
            moved = False
            for name in ("client", "origin"):
                peer = getattr(self, name)
                if data := peer.data_to_send():
                    self.book.receive(name, data)
                    moved = True
                if data := self.book.to(name):
                    news = peer.receive_data(data)
                    self.seen[name] += news
                    for event in news if self.takes else ():
                        if isinstance(event, h2.events.DataReceived):
                            peer.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    moved = True

    def ask(self, stream, path="/photo"):
        head = {":method": "GET", ":scheme": "http", ":authority": "www.media.test", ":path": path}
        self.client.send_headers(stream, list(head.items()), end_stream=True)
        self.exchange()
        (request,) = [e for e in self.seen["origin"] if isinstance(e, h2.events.RequestReceived)][-1:]
        return request.stream_id

    def wait(self, seconds):
        self.exchange()
        self.book.wait(seconds)
        self.exchange()

    def data(self, stream) -> bytes:
        return b"".join(e.data for e in self.of(stream, h2.events.DataReceived))

    def of(self, stream, kind):
        return [e for e in self.seen["client"] if isinstance(e, kind) and e.stream_id == stream]


@pytest.fixture
def peers(book, shaping, visitor, monkeypatch):
    def start(**options):
        book.client.alpn = b"h2"
        server = Server(address=("www.media.test", 80), alpn=b"h2")
        book.context.server = server
        book._open(server)
        return Peers(book, ShapedHttpLayer(book.context, HTTPMode.transparent, shaping, visitor), **options)

    return start


async def test_a_page_passes_at_once_beside_a_slowed_picture(peers):
    both = peers()
    picture, page = both.ask(1), both.ask(3, "/page")
    both.origin.send_headers(picture, IMAGE)
    both.origin.send_data(picture, BODY, end_stream=True)
    both.origin.send_headers(page, PAGE)
    both.origin.send_data(page, BODY, end_stream=True)
    both.exchange()
    assert (len(both.data(1)), len(both.data(3))) == (100, 1100)
    assert (both.of(1, h2.events.StreamEnded), len(both.of(3, h2.events.StreamEnded))) == ([], 1)
    both.wait(1)
    assert both.data(1) == BODY
    assert len(both.of(1, h2.events.StreamEnded)) == 1


async def test_trailers_and_the_end_come_behind_the_backlog(peers):
    both = peers()
    picture = both.ask(1)
    both.origin.send_headers(picture, IMAGE)
    both.origin.send_data(picture, BODY)
    both.origin.send_headers(picture, [("x-sum", "1100")], end_stream=True)
    both.wait(0.98)
    assert both.of(1, h2.events.TrailersReceived) == []
    both.wait(0.05)
    assert both.data(1) == BODY
    assert len(both.of(1, h2.events.TrailersReceived)) == len(both.of(1, h2.events.StreamEnded)) == 1


async def test_a_slowed_stream_keeps_its_window_and_a_sibling_gets_its_own_back(peers, shaping):
    both = peers()
    picture, page = both.ask(1), both.ask(3, "/page")
    both.origin.send_headers(picture, IMAGE)
    both.origin.send_headers(page, PAGE)
    both.exchange()
    sent = 0
    while (room := both.origin.local_flow_control_window(picture)) > 0:
        both.origin.send_data(picture, bytes(min(room, 16_384)))
        sent += min(room, 16_384)
        both.exchange()
    assert sent <= 2 * WINDOW
    assert shaping.levels.gated == 1
    for _ in range(40):
        both.origin.send_data(page, bytes(16_384))
        both.exchange()
    assert len(both.data(3)) == 40 * 16_384
    for _ in range(10):
        both.wait(10)  # in the end half of the mark is left, and the origin may go on
    assert both.origin.local_flow_control_window(picture) > 0


async def test_a_window_is_wide_only_once_it_is_known_that_nothing_is_slowed(peers):
    both = peers()
    picture, data = both.ask(1), both.ask(3, "/data")
    for stream in (picture, data):
        both.origin.send_headers(stream, [(":status", "200"), ("content-type", "application/octet-stream")])
    both.exchange()
    windows = [both.origin.local_flow_control_window(stream) for stream in (picture, data)]
    assert windows == [WINDOW, WINDOW]
    both.origin.send_data(picture, b"GIF89a" + bytes(2000))
    both.origin.send_data(data, bytes(2000))
    both.exchange()
    assert both.origin.local_flow_control_window(picture) < WINDOW
    assert both.origin.local_flow_control_window(data) > 2**20


async def test_a_reset_by_the_client_frees_its_stream_alone(peers, shaping, records):
    both = peers()
    first, second = both.ask(1), both.ask(3)
    for stream in (first, second):
        both.origin.send_headers(stream, IMAGE)
        both.origin.send_data(stream, BODY)
    both.exchange()
    both.client.reset_stream(1, ErrorCodes.CANCEL)
    both.exchange()
    resets = [event for event in both.seen["origin"] if isinstance(event, h2.events.StreamReset)]
    assert [event.stream_id for event in resets] == [first]
    assert [(record.outcome, record.size) for record in records] == [("client-abort", 100)]
    assert shaping.levels.backlog == 1000
    both.origin.end_stream(second)
    both.wait(1)
    assert both.data(3) == BODY
    assert len(shaping.live) == shaping.levels.backlog == 0


async def test_a_reset_by_the_origin_is_passed_on_after_what_it_sent(peers, records):
    both = peers()
    picture = both.ask(1)
    both.origin.send_headers(picture, IMAGE)
    both.origin.send_data(picture, BODY)
    both.origin.reset_stream(picture, ErrorCodes.INTERNAL_ERROR)
    both.wait(0.98)
    assert both.of(1, h2.events.StreamReset) == []
    both.wait(0.05)
    assert both.data(1) == BODY
    assert len(both.of(1, h2.events.StreamReset)) == 1
    assert [record.outcome for record in records] == ["origin-abort"]


async def test_a_client_whose_window_is_shut_is_sent_no_more_and_held_by_itself(peers, shaping, records):
    both = peers(window=300, takes=False)
    picture = both.ask(1)
    both.origin.send_headers(picture, IMAGE)
    both.origin.send_data(picture, BODY, end_stream=True)
    both.wait(2)
    assert len(both.data(1)) == 300
    assert shaping.levels.backlog > 700
    both.client.increment_flow_control_window(10_000, 1)
    both.wait(1)
    assert both.data(1) == BODY
    assert records[0].stalled > 1


async def test_an_origin_that_says_goaway_finishes_what_it_began(peers, records):
    both = peers()
    picture = both.ask(1)
    both.origin.send_headers(picture, IMAGE)
    both.origin.send_data(picture, BODY)
    both.origin._data_to_send += h2.connection.GoAwayFrame(0, last_stream_id=picture).serialize()
    both.exchange()
    both.origin.send_data(picture, BODY, end_stream=True)
    both.exchange()
    assert not both.book.context.server.connected  # the next request takes another connection
    both.wait(2.1)
    assert both.data(1) == BODY * 2
    assert [record.outcome for record in records] == ["complete"]


async def test_an_origin_that_says_goaway_for_an_error_ends_everything(peers, records):
    both = peers()
    picture = both.ask(1)
    both.origin.send_headers(picture, IMAGE)
    both.origin.send_data(picture, BODY)
    both.exchange()
    both.origin.close_connection(ErrorCodes.INTERNAL_ERROR)
    both.exchange()
    both.wait(2)
    assert both.data(1) == BODY
    assert len(both.of(1, h2.events.StreamReset)) == 1
    assert [record.outcome for record in records] == ["origin-abort"]


async def test_an_origin_that_says_goaway_while_it_is_held_is_let_go_all_the_same(peers, shaping, records):
    both = peers()
    picture = both.ask(1)
    both.origin.send_headers(picture, IMAGE)
    for _ in range(3):
        both.origin.send_data(picture, bytes(16_384))
        both.exchange()
    assert shaping.levels.gated == 1
    both.origin.close_connection(ErrorCodes.INTERNAL_ERROR)
    both.exchange()
    both.wait(60)
    assert len(both.data(1)) == 3 * 16_384
    assert shaping.levels.gated == len(shaping.live) == 0


async def test_a_refused_response_is_a_403_that_h2_allows(peers, shaping, records):
    shaping.swap(policy(block="refuse", caps=None))
    both = peers()
    picture = both.ask(1)
    both.origin.send_headers(picture, IMAGE)
    both.exchange()
    (response,) = both.of(1, h2.events.ResponseReceived)
    assert dict(response.headers) == {b":status": b"403", b"content-length": b"0"}
    assert len(both.of(1, h2.events.StreamEnded)) == 1
    assert [event.stream_id for event in both.seen["origin"] if isinstance(event, h2.events.StreamReset)] == [picture]


async def test_a_client_connection_that_ends_frees_all_its_streams(peers, shaping, records):
    both = peers()
    for stream in (1, 3, 5):
        ours = both.ask(stream)
        both.origin.send_headers(ours, IMAGE)
        both.origin.send_data(ours, BODY)
    both.exchange()
    both.book.close("client")
    assert (len(shaping.live), shaping.levels.backlog, both.book.ticker.armed) == (0, 0, 0)
    assert [record.outcome for record in records] == ["client-abort"] * 3


async def test_an_upload_that_waits_for_a_place_at_the_origin_arrives_whole(peers, book, shaping):
    """An origin may allow fewer streams than a client opens; what comes meanwhile waits in mitmproxy's queue."""
    book.hooks["requestheaders"] = lambda flow: setattr(flow.request, "stream", True)
    shaping.swap(policy(direction="both"))
    both = peers()
    both.origin.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 1})
    both.exchange()
    head = {":method": "POST", ":scheme": "http", ":authority": "www.media.test", ":path": "/"}
    for stream in (1, 3):
        both.client.send_headers(stream, [*head.items(), ("content-type", "image/png")])
        both.client.send_data(stream, BODY, end_stream=True)
    both.wait(1.1)
    requests = [event.stream_id for event in both.seen["origin"] if isinstance(event, h2.events.RequestReceived)]
    assert len(requests) == 1
    both.origin.send_headers(requests[0], [(":status", "204")], end_stream=True)
    both.wait(2)
    requests = [event.stream_id for event in both.seen["origin"] if isinstance(event, h2.events.RequestReceived)]
    assert len(requests) == 2
    both.origin.send_headers(requests[1], [(":status", "204")], end_stream=True)
    both.wait(1)
    for request in requests:
        arrived = [e for e in both.seen["origin"] if getattr(e, "stream_id", None) == request]
        assert b"".join(e.data for e in arrived if isinstance(e, h2.events.DataReceived)) == BODY
        assert any(isinstance(e, h2.events.StreamEnded) for e in arrived)
    assert not shaping.live

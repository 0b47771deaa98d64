"""Whatever the order of events: the client gets what the origin sent or an error, and in the end nothing is held."""

import asyncio
from types import SimpleNamespace

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mitmproxy.connection import ConnectionState
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

METRICS = Metrics()
RULES = [
    {},
    {"latency": {"mean": "500 ms"}},
    {"freeze_after": "700 B"},
    {"after": "300 B"},
    {"caps": None, "block": "refuse"},
    {"caps": None, "block": "reset"},
    {"caps": None},
    {"media": ["video"]},
]

steps = st.lists(
    st.one_of(
        st.sampled_from([1, 90, 500, 3000, 20_000]).map(lambda size: ("data", size)),
        st.sampled_from([0, 0.02, 0.3, 2.0]).map(lambda seconds: ("wait", seconds)),
        st.booleans().map(lambda full: ("full", full)),
        st.sampled_from(["end", "origin dies", "client leaves", "client is gone", "reload"]).map(
            lambda what: (what, None)
        ),
    ),
    max_size=12,
)


class Exchange:
    """One exchange of HTTP/1.1 with a chunked response, played by chance."""

    def __init__(self, ticker, rule, kind, start):
        self.content = start + whole(Stream(400_000))
        self.records, self.sent, self.ended, self.dead, self.left = [], b"", False, False, False
        self.shaping = Shaping(
            Judge(policy(**rule)), METRICS, [SimpleNamespace(record=self.records.append)], _ticker=ticker
        )
        self.book = Playbook(ticker)
        visitor = Visitor(self.book.client, self.book.handler, "192.0.2.1", Standing())
        self.book.start(ShapedHttpLayer(self.book.context, HTTPMode.regular, self.shaping, visitor))
        self.book.receive("client", b"GET http://www.media.test/photo HTTP/1.1\r\n\r\n")
        self.heads = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ntransfer-encoding: chunked\r\n\r\n" % kind.encode()
        self.book.receive("origin", self.heads)

    @property
    def is_open(self) -> bool:
        return not (self.ended or self.dead or self.left) and len(self.book.handler.transports) == 2

    def play(self, what, value):
        match what:
            case "wait":
                self.book.wait(value)
            case "full" if not self.left and self.book.client in self.book.handler.transports:
                self.book.writer("client").unsent = 100_000 * value
            case "reload":
                self.shaping.swap(policy(caps=[{"rate": "80 kbit/s"}]))
            case "data" if self.is_open:
                at = len(self.sent)
                self.sent += self.content[at : at + value]
                self.book.receive("origin", b"%x\r\n%s\r\n" % (value, self.content[at : at + value]))
            case "end" if self.is_open:
                self.ended = True
                self.book.receive("origin", b"0\r\n\r\n")
            case "origin dies" if self.is_open:
                self.dead = True
                self.book.close("origin")
            case "client leaves" | "client is gone" if (
                not self.left and self.book.client in self.book.handler.transports
            ):
                self.left = True
                gone = what == "client is gone"
                self.book.close("client", ConnectionState.CLOSED if gone else ConnectionState.CAN_WRITE)

    def received(self):
        """Return what the client got: status, body, and whether the message came to its end."""
        parser, status, body, ended = h11.Connection(h11.CLIENT), None, b"", False
        parser.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
        parser.send(h11.EndOfMessage())
        if data := self.book.to("client"):
            parser.receive_data(data)
        while (event := parser.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
            match event:
                case h11.Response():
                    status = event.status_code
                case h11.Data():
                    body += event.data
                case h11.EndOfMessage():
                    ended = True
        return status, body, ended

    def is_free(self) -> bool:
        levels = self.shaping.levels
        return not self.shaping.live and (levels.backlog, levels.gated) == (0, 0)


@settings(max_examples=150, deadline=None)
@given(
    steps=steps,
    rule=st.sampled_from(RULES),
    kind=st.sampled_from(["image/png", "application/octet-stream"]),
    start=st.sampled_from([b"\x89PNG\r\n\x1a\n", b"<!DOCTYPE html>", b""]),
)
def test_the_client_gets_what_was_sent_or_an_error_and_nothing_stays_behind(steps, rule, kind, start):
    async def run():
        with pytest.MonkeyPatch.context() as patch:
            ticker = turn_clock(patch)
            exchange = Exchange(ticker, rule, kind, start)
            for what, value in steps:
                exchange.play(what, value)
            exchange.play("full", False)
            exchange.book.wait(1000)
            blocked, frozen = "block" in rule, "freeze_after" in rule
            status, body, ended = exchange.received()
            if status == 200:
                assert exchange.sent.startswith(body)
                assert not ended or (exchange.ended and body == exchange.sent)
            if not exchange.left and not blocked and not frozen:
                assert (body, ended) == (exchange.sent, exchange.ended)
                assert (("client", "close") in exchange.book.done) == exchange.dead
            if exchange.ended and not blocked and not frozen and not exchange.left:
                assert exchange.is_free()
            exchange.play("client leaves", None)
            assert exchange.is_free()
            assert ticker.demanded == pytest.approx(0)
            (record,) = exchange.records
            assert record.size <= len(exchange.sent)
            assert sum(seconds for _, seconds in record.waits()) == pytest.approx(record.duration)
            if record.outcome == "complete":
                assert record.size == len(exchange.sent)

    asyncio.run(run())

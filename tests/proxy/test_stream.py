"""Transcripts of exchanges: what goes to whom, in which order, and what is freed when somebody leaves.

Past 300 lines because each state of an exchange, and each way out of it, has a transcript here.
"""

import pytest
from mitmproxy.connection import ConnectionState

from shaper.pacing.watermark import marks
from tests.proxy.conftest import policy

IMAGE = b"HTTP/1.1 200 OK\r\ncontent-type: image/jpeg\r\n"
LENGTH = IMAGE + b"content-length: 1100\r\n\r\n"
CHUNKED = IMAGE + b"transfer-encoding: chunked\r\n\r\n"
BODY = bytes(range(256)) * 4 + bytes(76)  # 1100 bytes: 100 are free, the rest takes a second


async def test_headers_go_at_once_and_the_body_at_its_rate(exchange):
    book = exchange(LENGTH + BODY)
    assert book.transcript == [("client", LENGTH + BODY[:100])]
    book.wait(0.5)
    assert book.to("client") == LENGTH + BODY[:600]
    book.wait(0.5)
    assert book.transcript == [("client", BODY[600:])]
    assert book.ticker.armed == 0


async def test_a_piece_is_never_early(exchange):
    book = exchange(LENGTH + BODY)
    sent = len(book.to("client")) - len(LENGTH)
    for step in range(1, 101):
        book.wait(0.01)
        sent += len(book.to("client"))
        assert sent <= 100 + 10 * step + 1e-6
    assert sent == 1100


async def test_the_end_of_a_chunked_message_waits_behind_the_backlog(exchange):
    book = exchange(CHUNKED + b"44c\r\n" + BODY + b"\r\n0\r\n\r\n")
    assert not book.to("client").endswith(b"0\r\n\r\n")
    book.wait(0.99)
    assert b"0\r\n\r\n" not in book.to("client")
    book.wait(0.01)
    assert book.to("client").endswith(b"\r\n0\r\n\r\n")


async def test_trailers_wait_behind_the_backlog(exchange):
    book = exchange(CHUNKED + b"44c\r\n" + BODY + b"\r\n0\r\nx-sum: 1100\r\n\r\n")
    book.wait(0.99)
    assert b"x-sum" not in book.to("client")
    book.wait(0.01)
    assert book.to("client").endswith(b"\r\n0\r\nx-sum: 1100\r\n\r\n")


async def test_a_body_that_only_its_connections_end_delimits_gets_an_end_of_its_own(exchange, records):
    book = exchange(IMAGE + b"\r\n" + BODY)
    book.close("origin", ConnectionState.CLOSED)
    book.wait(1)
    sent = book.to("client")
    assert b"transfer-encoding: chunked\r\n" in sent
    assert sent.endswith(b"\r\n0\r\n\r\n")
    assert [(record.outcome, record.size) for record in records] == [("complete", 1100)]


async def test_a_connection_that_breaks_off_is_no_end_of_a_body(exchange, records):
    book = exchange(IMAGE + b"\r\n" + BODY)
    book.handler.transports[book._connection("origin")].reader.is_severed = True
    book.close("origin", ConnectionState.CLOSED)
    book.wait(1)
    assert b"\r\n0\r\n" not in book.to("client")
    assert book.transcript[-1] == ("client", "close")
    assert [(record.outcome, record.size) for record in records] == [("origin-abort", 1100)]


async def test_the_next_request_waits_for_its_turn(exchange, records):
    book = exchange(LENGTH + BODY)
    book.receive("client", b"GET http://www.media.test/page HTTP/1.1\r\n\r\n")
    book.wait(0.9)
    assert book.to("origin") == b""
    book.wait(0.1)
    assert book.to("client") == LENGTH + BODY
    assert book.to("origin") == b"GET /page HTTP/1.1\r\n\r\n"
    assert [record.outcome for record in records] == ["complete"]


async def test_an_origin_that_dies_is_passed_on_after_what_it_sent(exchange, records):
    book = exchange(LENGTH + BODY[:600])
    book.close("origin")
    assert ("client", "close") not in book.done
    book.wait(0.49)
    assert ("client", "close") not in book.done
    book.wait(0.01)
    assert book.done[-1] == ("client", "close")
    assert book.to("client") == LENGTH + BODY[:600]
    assert [(record.outcome, record.size) for record in records] == [("origin-abort", 600)]


@pytest.mark.parametrize("state", [ConnectionState.CAN_WRITE, ConnectionState.CLOSED])
async def test_a_client_that_leaves_frees_backlog_alarm_and_origin_at_once(exchange, shaping, records, state):
    book = exchange(LENGTH + BODY)
    assert (shaping.levels.backlog, book.ticker.armed) == (1000, 1)
    book.to("client")
    book.close("client", state)
    assert ("origin", "close") in book.done
    assert (shaping.levels.backlog, book.ticker.armed, shaping.ticker.demanded) == (0, 0, 0)
    assert not shaping.live
    book.wait(5)
    assert book.to("client") == b""
    assert [(record.outcome, record.size) for record in records] == [("client-abort", 100)]


async def test_a_client_may_leave_after_its_origin_died(exchange, records):
    book = exchange(LENGTH + BODY[:600])
    book.close("origin")
    book.close("client")
    book.wait(5)
    assert [record.outcome for record in records] == ["client-abort"]


async def test_a_full_backlog_holds_the_origin_and_an_empty_one_lets_it_go(exchange, shaping):
    mark = marks(1000)
    book = exchange(IMAGE + b"content-length: 99999\r\n\r\n" + bytes(100 + mark.high))
    assert not book.is_held("origin")
    book.receive("origin", bytes(1))
    assert book.is_held("origin")
    assert shaping.levels.gated == 1
    book.wait((mark.high - mark.low) / 1000 - 0.1)
    assert book.is_held("origin")
    book.wait(0.2)
    assert not book.is_held("origin")
    assert shaping.levels.gated == 0


async def test_a_client_that_takes_nothing_is_not_sent_more_and_its_time_is_not_the_shapers(exchange, shaping, records):
    book = exchange(LENGTH + BODY)
    book.writer("client").unsent = 100_000
    book.to("client")
    book.wait(3)
    assert book.to("client") == b""
    book.writer("client").unsent = 0
    book.wait(1)
    assert book.to("client") == BODY[100:]
    (record,) = records
    assert record.stalled == pytest.approx(3, abs=0.1)
    assert record.duration == pytest.approx(record.waiting + record.receiving + record.held + record.stalled)


async def test_added_latency_comes_before_the_headers_and_holds_the_origin(exchange, records):
    book = exchange(LENGTH, rule={"latency": {"mean": "500 ms"}})
    assert book.is_held("origin")
    book.receive("origin", BODY)
    book.wait(0.49)
    assert book.transcript == []
    book.wait(0.01)
    assert book.transcript == [("client", LENGTH + BODY[:100])]
    assert not book.is_held("origin")
    book.wait(1)
    assert records[0].held == pytest.approx(1.5)


async def test_a_client_may_leave_during_latency(exchange, shaping, records):
    book = exchange(LENGTH + BODY, rule={"latency": {"mean": "500 ms"}})
    book.close("client")
    assert ("origin", "close") in book.done
    assert not shaping.live
    book.wait(5)
    assert book.to("client") == b""
    assert [record.outcome for record in records] == ["client-abort"]


async def test_an_origin_may_die_during_latency(exchange, records):
    book = exchange(LENGTH + BODY[:50], rule={"latency": {"mean": "500 ms"}})
    book.close("origin")
    book.wait(0.5)
    assert book.transcript[-2:] == [("client", LENGTH + BODY[:50]), ("client", "close")]
    assert [record.outcome for record in records] == ["origin-abort"]


async def test_free_bytes_pass_first_and_frozen_ones_never(exchange, shaping):
    book = exchange(LENGTH + BODY, rule={"after": "300 B", "freeze_after": "500 B"})
    assert book.to("client") == LENGTH + BODY[:400]  # 300 and the burst
    book.wait(60)
    assert book.to("client") == BODY[400:500]
    assert book.ticker.armed == 0
    book.close("client")
    assert not shaping.live


async def test_a_refused_response_is_a_403_and_its_origin_is_let_go(exchange, shaping, records):
    book = exchange(LENGTH + BODY, rule={"block": "refuse", "caps": None})
    (first, second), *_ = [book.transcript]
    assert first == ("origin", "close")
    assert second[1].startswith(b"HTTP/1.1 403 ")
    assert b"content-length: 0" in second[1]
    assert b"image" not in second[1]
    assert [(record.outcome, record.size) for record in records] == [("blocked", 0)]
    exchange(b"HTTP/1.1 200 OK\r\ncontent-type: text/css\r\ncontent-length: 2\r\n\r\n{}")
    assert book.to("client").endswith(b"{}")


async def test_a_reset_response_is_a_closed_connection(exchange, records):
    book = exchange(LENGTH + BODY, rule={"block": "reset", "caps": None})
    assert book.transcript == [("origin", "close"), ("client", "close")]
    assert [record.outcome for record in records] == ["blocked"]


async def test_a_reload_keeps_verdicts(exchange, shaping, records):
    book = exchange(LENGTH + BODY)
    shaping.swap(policy(caps=[{"rate": "80 kbit/s", "burst": "100 B"}]))
    book.wait(0.9)
    assert book.to("client") == LENGTH + BODY[:1000]
    book.wait(0.1)
    exchange(LENGTH + BODY)
    book.wait(0.1)
    assert book.to("client") == LENGTH + BODY
    assert [record.rate for record in records] == [8000, 80_000]
    assert records[0].policy != records[1].policy


UNSURE = b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: 1100\r\n\r\n"
JPEG = b"\xff\xd8\xff\xe0" + BODY[4:]


async def test_the_first_bytes_decide_where_the_headers_do_not(exchange, records):
    book = exchange(UNSURE + JPEG)
    assert book.to("client") == UNSURE + JPEG[:100]
    book.wait(1)
    assert book.to("client") == JPEG[100:]
    assert (records[0].media, records[0].evidence, records[0].reason) == ("image", "sniffed", "matched")


async def test_first_bytes_that_come_one_by_one_decide_as_well(exchange, records):
    book = exchange(UNSURE)
    for byte in JPEG[:8]:
        book.receive("origin", bytes([byte]))
    assert book.to("client") == UNSURE + JPEG[:8]
    book.receive("origin", JPEG[8:])
    book.wait(0.9)
    assert len(book.to("client")) in range(950, 1001)  # the burst and 0.9 s
    book.wait(0.1)
    assert len(book.to("client")) in range(92, 143)
    assert (records[0].media, records[0].evidence, records[0].reason) == ("image", "sniffed", "matched")


async def test_a_body_that_never_tells_what_it_is_passes_piece_by_piece(exchange, records):
    book = exchange(UNSURE)
    for start in range(0, 1100, 11):
        book.receive("origin", BODY[start : start + 11])
    assert book.to("client") == UNSURE + BODY
    assert records[0].reason == "no-rule"


async def test_first_bytes_that_decide_otherwise_let_the_body_pass(exchange, records):
    book = exchange(UNSURE + BODY)
    assert book.to("client") == UNSURE + BODY
    assert records[0].reason == "no-rule"


async def test_first_bytes_may_reveal_what_is_blocked(exchange, records):
    book = exchange(UNSURE + JPEG, rule={"block": "refuse", "caps": None})
    assert book.transcript == [("client", UNSURE), ("origin", "close"), ("client", "close")]
    assert [record.outcome for record in records] == ["blocked"]


@pytest.mark.parametrize(
    ("method", "answer", "reason"),
    [
        ("HEAD", LENGTH, "bodiless"),
        ("GET", b"HTTP/1.1 204 No Content\r\ncontent-type: image/jpeg\r\n\r\n", "bodiless"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\ncontent-type: image/jpeg\r\n\r\n", "bodiless"),
        ("GET", IMAGE + b"content-length: 0\r\n\r\n", "bodiless"),
        ("GET", b"HTTP/1.1 101 Switching Protocols\r\nupgrade: raw\r\nconnection: upgrade\r\n\r\n", "upgrade"),
        ("GET", b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 3\r\n\r\n: \n", "event-stream"),
        ("GET", b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 4\r\n\r\n<p>.", "no-rule"),
    ],
)
async def test_what_is_never_shaped_passes_at_once(exchange, records, method, answer, reason):
    book = exchange(answer, method=method, headers=b"upgrade: raw\r\nconnection: upgrade\r\n" * (reason == "upgrade"))
    assert book.to("client") == answer
    assert book.ticker.armed == 0
    assert [(record.reason, record.held) for record in records] == [(reason, 0)]


async def test_after_an_upgrade_bytes_pass_both_ways(exchange):
    book = exchange(
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: raw\r\nconnection: upgrade\r\n\r\n",
        headers=b"upgrade: raw\r\nconnection: upgrade\r\n",
    )
    book.done.clear()
    book.receive("origin", b"\x01hello")
    book.receive("client", b"\x02world")
    assert book.transcript == [("client", b"\x01hello"), ("origin", b"\x02world")]


async def test_a_malformed_response_closes_its_account(exchange, shaping, records):
    book = exchange(IMAGE + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n")
    assert book.to("client").startswith(b"HTTP/1.1 502 ")
    assert not shaping.live
    assert len(records) == 1


async def test_an_exchange_that_an_operator_kills_closes_its_account(exchange, book, shaping, records):
    book.hooks["responseheaders"] = lambda flow: flow.kill()
    exchange(LENGTH + BODY)
    assert ("client", "close") in book.done
    assert not shaping.live
    assert [record.outcome for record in records] == ["blocked"]


async def test_what_another_addon_makes_of_a_body_is_what_is_slowed(exchange, book):
    def halve(flow):
        flow.response.headers["content-length"] = "550"
        flow.response.stream = lambda data: data[::2]

    book.hooks["responseheaders"] = halve
    exchange(LENGTH + BODY)
    book.wait(0.449)
    assert len(book.to("client").partition(b"\r\n\r\n")[2]) < 550
    book.wait(0.001)
    assert book.transcript[-1][1] == BODY[::2][-len(book.transcript[-1][1]) :]


@pytest.mark.parametrize("body", [LENGTH + BODY, CHUNKED + b"44c\r\n" + BODY + b"\r\n0\r\n\r\n"])
async def test_a_body_that_another_addon_collects_passes_whole_and_does_not_count_as_slowed(
    exchange, book, shaping, records, body
):
    book.hooks["responseheaders"] = lambda flow: setattr(flow.response, "stream", False)
    exchange(body)
    assert BODY in book.to("client")
    (record,) = records
    assert (record.outcome, record.size, record.received, record.held) == ("complete", 1100, 1100, 0)
    assert (record.media, record.reason, record.rate) == ("image", "error", None)
    count = shaping.metrics.registry.get_sample_value
    assert count("shaper_fallbacks_total", {"reason": "pacing"}) == 1


async def test_a_bucket_that_fails_lets_its_backlog_pass_and_is_counted(exchange, shaping, records, monkeypatch):
    book = exchange(LENGTH + BODY)
    monkeypatch.setattr("shaper.pacing.token_bucket.TokenBucket.reserve", lambda *_: 1 / 0)
    book.wait(0.1)
    assert book.to("client") == LENGTH + BODY
    assert [(record.outcome, record.size) for record in records] == [("complete", 1100)]
    count = shaping.metrics.registry.get_sample_value
    assert count("shaper_fallbacks_total", {"reason": "pacing"}) == 1


@pytest.mark.parametrize(
    ("state", "let_go", "counted"),
    [
        (ConnectionState.OPEN, False, True),
        (ConnectionState.CAN_WRITE, False, True),  # it has said all that it has to say, and still listens
        (ConnectionState.CAN_WRITE, True, False),
        (ConnectionState.CLOSED, False, False),
    ],
)
async def test_a_body_without_a_lane_passes_unshaped_and_is_counted_unless_its_client_has_left(
    exchange, book, shaping, monkeypatch, state, let_go, counted
):
    monkeypatch.setattr("shaper.proxy.stream.Lane.to", lambda *_: None)

    def leave(flow):
        flow.client_conn.state = state
        if let_go:
            del book.handler.transports[flow.client_conn]

    book.hooks["responseheaders"] = leave
    exchange(LENGTH + BODY)
    count = shaping.metrics.registry.get_sample_value
    assert bool(count("shaper_fallbacks_total", {"reason": "pacing"})) is counted


async def test_an_origin_that_cannot_be_held_back_is_counted_and_slowed_all_the_same(exchange, shaping, monkeypatch):
    monkeypatch.setattr("shaper.proxy.stream.gate_for", lambda *_: None)
    book = exchange(LENGTH + BODY)
    assert book.to("client") == LENGTH + BODY[:100]
    count = shaping.metrics.registry.get_sample_value
    assert count("shaper_fallbacks_total", {"reason": "gate"}) == 1


HINTS = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n"


@pytest.mark.parametrize(
    "interim", [HINTS, HINTS * 2, b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.0 199 \r\n\r\n" + HINTS]
)
async def test_interim_responses_are_left_out_and_the_answer_follows(exchange, records, interim):
    book = exchange(interim + LENGTH + BODY)
    book.wait(1)
    assert book.to("client") == LENGTH + BODY
    assert [(record.status, record.outcome) for record in records] == [(200, "complete")]


async def test_an_interim_response_may_come_in_pieces(exchange):
    book = exchange()
    for at in range(len(HINTS)):
        book.receive("origin", HINTS[at : at + 1])
    assert book.transcript == []
    book.receive("origin", LENGTH + BODY)
    book.wait(1)
    assert book.to("client") == LENGTH + BODY

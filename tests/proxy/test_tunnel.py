"""Transcripts of tunnels under a rule for whole connections: opaque bytes, each direction for itself."""

from datetime import UTC, datetime

import pytest
from mitmproxy.connection import ConnectionState, Server

from shaper.policy.judge import Judge
from shaper.policy.model import Mode
from shaper.policy.verdict import Person
from shaper.proxy.tunnel import ShapedTunnel
from tests.proxy.conftest import policy

DATA = bytes(range(256)) * 4 + bytes(76)  # 1100 bytes: 100 are free, the rest takes a second
CAPS = [{"scope": "connection", "rate": "8 kbit/s", "burst": "100 B"}]


@pytest.fixture
def tunnel(book, shaping, visitor):
    """Start a tunnel to a target; with words for another rule if they are given."""

    def start(mode=Mode.ENFORCE, **rule):
        whole = {"level": "connection", "media": None, "caps": CAPS} | rule
        shaping.swap(policy(**whole).model_copy(update={"mode": mode}))
        book.context.server = Server(address=("www.media.test", 443))
        verdict = shaping.judge.decide_connection("www.media.test", Person(), datetime.now(UTC))
        book.start(ShapedTunnel(book.context, shaping, visitor, verdict, ["www.media.test"]))
        return book

    return start


async def test_each_direction_has_its_own_bucket(tunnel):
    book = tunnel(direction="both")
    book.receive("client", DATA)
    book.receive("origin", DATA)
    assert book.transcript == [("origin", "open"), ("origin", DATA[:100]), ("client", DATA[:100])]
    book.wait(1)
    assert (book.to("origin"), book.to("client")) == (DATA, DATA)


async def test_a_direction_that_no_rule_slows_passes_at_once(tunnel, records):
    book = tunnel()
    book.receive("client", DATA)
    assert book.to("origin") == DATA
    book.receive("origin", DATA)
    assert book.to("client") == DATA[:100]


@pytest.mark.parametrize("rule", [{"direction": "up"}, {"caps": None}])
async def test_what_is_not_slowed_is_counted_as_what_is(tunnel, records, rule):
    book = tunnel(**rule)
    book.receive("origin", DATA)
    book.close("origin")
    book.close("client")
    down = next(record for record in records if record.direction == "down")
    assert (down.size, down.received, down.reason, down.rate) == (1100, 1100, "uncapped", None)


async def test_an_origins_close_waits_behind_its_bytes(tunnel, records):
    book = tunnel()
    book.receive("origin", DATA)
    book.close("origin")
    book.wait(0.99)
    assert ("client", "close") not in book.done
    book.wait(0.01)
    assert (book.to("client"), book.done[-1]) == (DATA, ("client", "close"))


async def test_a_client_that_closes_frees_everything(tunnel, shaping, records):
    book = tunnel(direction="both")
    book.receive("client", DATA[:100])
    book.receive("origin", DATA)
    book.close("client")
    assert ("origin", "close") in book.done
    assert (shaping.levels.backlog, len(shaping.live), book.ticker.armed) == (0, 0, 0)
    outcomes = {record.direction: record.outcome for record in records}
    assert outcomes == {"down": "client-abort", "up": "complete"}


async def test_a_clients_last_bytes_are_passed_on_before_it_is_gone(tunnel, shaping, records):
    book = tunnel(direction="both")
    book.receive("client", DATA)
    book.close("client")
    book.wait(0.99)
    assert ("origin", "close") not in book.done
    book.wait(0.01)
    assert (book.to("origin"), ("origin", "close") in book.done) == (DATA, True)
    assert {record.outcome for record in records} == {"complete"}


async def test_a_client_that_vanishes_frees_everything_at_once(tunnel, shaping):
    book = tunnel(direction="both")
    book.receive("client", DATA)
    book.close("client", ConnectionState.CLOSED)
    assert ("origin", "close") in book.done
    assert (shaping.levels.backlog, len(shaping.live)) == (0, 0)


async def test_a_reset_tunnel_is_cut_and_its_origin_not_asked(tunnel, records):
    book = tunnel(block="reset", caps=None)
    assert book.transcript == [("client", "close")]
    assert [(record.direction, record.outcome, record.size) for record in records] == [("down", "blocked", 0)]


async def test_a_frozen_tunnel_passes_so_much_and_no_more(tunnel):
    book = tunnel(freeze_after="300 B", caps=None)
    book.receive("origin", DATA)
    book.wait(60)
    assert book.to("client") == DATA[:300]


async def test_a_tunnel_that_was_idle_for_long_is_forgotten(tunnel, shaping, records):
    book = tunnel()
    book.receive("origin", DATA)
    book.wait(1)
    book.wait(shaping.policy.forget_after + 1)
    book.to("client")
    book.receive("client", b"?")
    book.receive("origin", DATA)
    assert book.to("client") == DATA
    book.close("client")
    assert max(record.size for record in records) == 2200  # it is counted all the same


async def test_a_tunnel_that_is_still_drained_is_not_idle(tunnel, shaping):
    book = tunnel(direction="both")
    shaping.swap(shaping.policy.model_copy(update={"forget_after": 2.0}))
    book.receive("origin", bytes(5000))
    book.wait(4)
    book.receive("client", DATA)
    assert book.to("origin") == DATA[:100]


async def test_a_policy_that_is_a_shadow_computes_for_each_direction_of_a_tunnel(tunnel, shaping, records):
    book = tunnel(direction="both", mode=Mode.SHADOW)
    book.receive("client", DATA)
    book.receive("origin", DATA)
    book.wait(0.25)
    book.close("client")
    assert (book.to("origin"), book.to("client")) == (DATA, DATA)
    assert [record.estimate["transcripts"] for record in records] == pytest.approx([0.75, 0.75])
    assert {record.reason for record in records} == {"shadow"}


async def test_another_policys_cost_is_computed_beside_a_tunnel(tunnel, shaping, records):
    caps = [{"scope": "connection", "rate": "4 kbit/s", "burst": "100 B"}]
    other = policy(level="connection", media=None, caps=caps).model_copy(update={"study": "other"})
    shaping.shadows = [Judge(other)]
    book = tunnel()
    book.receive("client", DATA)
    book.receive("origin", DATA)
    book.wait(1)
    book.close("client")
    estimates = {record.direction: record.estimate for record in records}
    assert estimates == {"down": {"other": pytest.approx(1.0)}, "up": None}


async def test_a_reload_keeps_a_tunnels_verdict(tunnel, shaping):
    book = tunnel()
    book.receive("origin", DATA)
    shaping.swap(policy())
    book.receive("origin", DATA)
    book.wait(1.99)
    assert len(book.to("client")) < 2200
    book.wait(0.2)
    assert shaping.levels.backlog == 0


async def test_a_tunnel_without_a_way_past_the_layers_passes_and_is_counted(tunnel, shaping, monkeypatch):
    monkeypatch.setattr("shaper.proxy.lane.Lane.to", lambda *_: None)
    book = tunnel()
    book.receive("origin", DATA)
    assert book.to("client") == DATA
    count = shaping.metrics.registry.get_sample_value
    assert count("shaper_fallbacks_total", {"reason": "pacing"}) == 1


async def test_a_tunnel_whose_client_is_gone_already_counts_no_fallback(tunnel, shaping):
    book = tunnel()
    del book.handler.transports[book.client]
    book.receive("origin", DATA)
    count = shaping.metrics.registry.get_sample_value
    assert not count("shaper_fallbacks_total", {"reason": "pacing"})


async def test_a_full_backlog_holds_its_sender(tunnel, shaping):
    book = tunnel(direction="both")
    book.receive("client", bytes(33_000))
    book.receive("origin", bytes(100))
    assert (book.is_held("client"), book.is_held("origin")) == (True, False)
    book.wait(33)
    assert not book.is_held("client")

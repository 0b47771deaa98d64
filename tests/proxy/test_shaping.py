"""What streams and tunnels ask of the one object that they share."""

import asyncio
from types import SimpleNamespace

import pytest

from shaper.policy.admission import Standing
from shaper.policy.judge import Judge
from shaper.policy.verdict import Facts, Reason
from shaper.proxy.shaping import Shaping
from shaper.record.metrics import Metrics
from shaper.record.transfer import Outcome
from tests.proxy.conftest import policy

PHOTO = Facts("www.media.test", content_type=("image/png",))


async def test_it_is_idle_when_no_transfer_is_under_way(shaping, visitor, records):
    assert shaping.idle.is_set()
    first, second = shaping.begin(visitor), shaping.begin(visitor)
    assert not shaping.idle.is_set()
    shaping.finish(first, Outcome.COMPLETE)
    shaping.finish(first, Outcome.CLIENT_ABORT)
    assert not shaping.idle.is_set()
    shaping.finish(second, Outcome.COMPLETE)
    await asyncio.wait_for(shaping.idle.wait(), 1)


async def test_a_transfer_is_recorded_once_and_only_if_its_host_is_a_target(shaping, visitor, records):
    for host in ("www.media.test", "www.other.test"):
        live = shaping.begin(visitor)
        live.verdict = shaping.preliminary(host)
        shaping.finish(live, Outcome.COMPLETE)
        shaping.finish(live, Outcome.CLIENT_ABORT)
    assert [(record.target, record.outcome) for record in records] == [("media", "complete")]


async def test_a_recorder_that_fails_is_counted_and_keeps_nobody_from_the_others(shaping, visitor, records):
    shaping.recorders = [SimpleNamespace(record=lambda record: 1 / 0), *shaping.recorders]
    live = shaping.begin(visitor)
    live.verdict = shaping.preliminary("www.media.test")
    shaping.finish(live, Outcome.COMPLETE)
    assert len(records) == 1
    assert shaping.metrics.registry.get_sample_value("shaper_fallbacks_total", {"reason": "record"}) == 1


async def test_a_verdict_that_fails_is_to_pass_and_is_counted(shaping, visitor, monkeypatch):
    monkeypatch.setattr(shaping.judge, "listing", lambda host: 1 / 0)
    verdict = shaping.decide(PHOTO, visitor)
    assert (verdict.reason, verdict.shaped) == (Reason.ERROR, False)
    assert shaping.metrics.registry.get_sample_value("shaper_fallbacks_total", {"reason": "verdict"}) == 1


@pytest.mark.parametrize("reason", [Reason.NO_CONSENT, Reason.PAUSED, Reason.OVER_BUDGET])
async def test_whoever_takes_no_part_is_not_slowed(shaping, visitor, reason):
    visitor.anonymous = Standing(exempt=reason)
    assert (shaping.decide(PHOTO, visitor).reason, shaping.decide(PHOTO, visitor).shaped) == (reason, False)


async def test_a_transfer_is_recorded_under_the_policy_it_began_with(shaping, visitor, records):
    before, live = shaping.policy, shaping.begin(visitor)
    live.verdict = shaping.decide(PHOTO, visitor)
    shaping.swap(policy(caps=[{"rate": "1 Mbit/s"}]))
    shaping.finish(live, Outcome.COMPLETE)
    assert (records[0].policy, records[0].rate) == (before.digest, 8000)
    assert shaping.decide(PHOTO, visitor).limits[0].rate == 125_000


LATENCIES = [
    ({"mean": "200 ms"}, 0.2, 0.2),
    ({"distribution": "uniform", "mean": "200 ms", "jitter": "50 ms"}, 0.15, 0.25),
    ({"distribution": "normal", "mean": "20 ms", "jitter": "100 ms"}, 0, 1),
]


@pytest.mark.parametrize(("latency", "least", "most"), LATENCIES)
async def test_latency_is_drawn_within_its_bounds_and_again_in_the_same_order(shaping, visitor, latency, least, most):
    def draw(seed):
        fresh = Shaping(Judge(policy(latency=latency | {"seed": seed})), Metrics())
        return [fresh.latency(fresh.decide(PHOTO, visitor)) for _ in range(200)]

    draws = draw(1)
    assert least <= min(draws) <= max(draws) <= most
    assert draws == draw(1)
    if least < most:
        assert draws != draw(2)
        assert len(set(draws)) > 50


async def test_no_latency_is_added_without_a_rule_that_asks_for_it(shaping, visitor):
    assert shaping.latency(shaping.decide(PHOTO, visitor)) == 0
    shaping.swap(policy(latency={"mean": "1 s"}))
    assert shaping.latency(shaping.decide(Facts("www.media.test", content_type=("text/css",)), visitor)) == 0


async def test_transfers_of_one_connection_share_its_bucket_and_others_do_not(shaping, visitor, ticker):
    shaping.swap(policy(caps=[{"scope": "connection", "rate": "8 kbit/s", "burst": "100 B"}]))
    verdict = shaping.decide(PHOTO, visitor)
    stranger = SimpleNamespace(client=SimpleNamespace(id="another"), key="192.0.2.9", standing=visitor.standing)
    first, second, other = (shaping.pacer(verdict, whose, "down", ticker.now) for whose in (visitor, visitor, stranger))
    up = shaping.pacer(verdict, visitor, "up", ticker.now)
    sizes = []
    for pacer in (first, second, other, up):
        pacer.push(bytes(500), ticker.now)
        sizes.append(len(pacer.release(ticker.now)[0]))
    assert sizes == [100, 0, 100, 100]

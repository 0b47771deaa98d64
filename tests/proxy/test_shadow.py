"""A shadow computes what a cap would have cost on real arrivals."""

import pytest

from shaper.pacing.pacer import Pacer
from shaper.pacing.token_bucket import TokenBucket
from shaper.proxy.shadow import Shadow, Stage


def shadow(rate=1000.0, burst=100.0, **options):
    return Shadow("study", Pacer([TokenBucket(rate, burst)], **options), Stage())


def test_a_body_that_came_at_once_would_have_taken_its_size_over_the_rate():
    one = shadow()
    one.push(10_100, 5.0)
    assert one.cost(5.0) == pytest.approx(10.0)


def test_what_came_slower_than_the_cap_would_have_cost_nothing():
    one = shadow()
    for second in range(10):
        one.push(100, float(second))
    assert one.cost(9.0) == pytest.approx(0.0, abs=1e-9)


def test_a_pause_earns_no_more_than_the_burst():
    one = shadow()
    one.push(1_000, 0.0)
    one.push(1_000, 5.0)
    assert one.cost(5.0) == pytest.approx(0.9)


def test_only_what_is_over_the_end_counts():
    one = shadow(burst=0.0)
    one.push(5_000, 0.0)
    assert one.cost(3.0) == pytest.approx(2.0)


def test_those_who_share_a_bucket_would_have_ended_together():
    stage, shared = Stage(), TokenBucket(1000.0, 20.0)
    four = [Shadow("study", Pacer([shared]), stage) for _ in range(4)]
    for one in four:
        one.push(5_000, 0.0)
    assert [one.cost(0.0) for one in four] == pytest.approx([20.0] * 4, rel=0.02)


def test_in_a_chain_the_tightest_bucket_counts():
    one = Shadow("study", Pacer([TokenBucket(1000.0, 20.0), TokenBucket(2000.0, 40.0)]), Stage())
    one.push(5_000, 0.0)
    assert one.cost(0.0) == pytest.approx(5.0, rel=0.02)


def test_what_comes_after_others_were_computed_is_computed_too():
    stage, shared = Stage(), TokenBucket(1000.0, 20.0)
    first, second = (Shadow("study", Pacer([shared]), stage) for _ in range(2))
    first.push(5_000, 0.0)
    second.push(2_500, 0.0)
    assert first.cost(0.0) == pytest.approx(7.5, rel=0.02)
    second.push(2_500, 1.0)
    assert second.cost(1.0) == pytest.approx(9.0, rel=0.02)


def test_latency_counts_and_a_freeze_never_ends():
    late = shadow(start_at=7.0)
    late.push(100, 5.0)
    assert late.cost(5.0) == pytest.approx(2.0)
    frozen = shadow(freeze_after=50)
    frozen.push(100, 0.0)
    assert frozen.cost(1.0) is None


def test_the_rest_of_a_huge_body_is_computed_in_few_steps(monkeypatch):
    one, steps, release = shadow(rate=700.0), [], Pacer.release
    monkeypatch.setattr(Pacer, "release", lambda *given: steps.append(given) or release(*given))
    one.push(1_000_000_000, 0.0)
    assert one.cost(0.0) == pytest.approx((1_000_000_000 - 100) / 700.0)
    assert len(steps) < 3000


def test_a_large_body_is_no_large_work():
    one = shadow(rate=18_750.0)
    one.push(50_000_000, 0.0)
    assert one.cost(0.0) == pytest.approx((50_000_000 - 100) / 18_750.0)

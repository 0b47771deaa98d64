"""Order, law, fairness and the fine points of a transfer's pacing, all with literal time."""

from heapq import heapify, heappop, heappush
from itertools import count, pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shaper.pacing.limit import quantum
from shaper.pacing.pacer import LATENESS, Pacer
from shaper.pacing.token_bucket import TokenBucket
from shaper.pacing.window_bucket import WindowBucket

KBIT150 = 18_750.0


def drain(pacer, now=0.0, late=0.0, until=float("inf")):
    """Release punctually (or `late`) until nothing is left; return [(instant, bytes)]."""
    events = []
    while True:
        data, wake_at = pacer.release(now)
        if data:
            events.append((now, data))
        if wake_at is None or wake_at > until:
            return events
        assert wake_at > now
        now = wake_at + late


def test_the_burst_goes_first_and_then_a_smooth_line():
    pacer = Pacer([TokenBucket(KBIT150, 2048)])
    pacer.push(bytes(100_000), 0.0)
    events = drain(pacer)
    assert len(events[0][1]) == 1875  # five whole quanta of 375 B fit into 2 KiB
    assert events[-1][0] == pytest.approx((100_000 - 2048) / KBIT150)
    assert max(b - a for (a, _), (b, _) in pairwise(events)) < 0.021


@pytest.mark.parametrize("rate", [KBIT150, 125_000.0, 1_250_000.0, 6_250_000.0])
def test_the_line_stays_under_the_ideal_and_within_a_quantum(rate):
    pacer, sent = Pacer([TokenBucket(rate, 2048)]), 0
    pacer.push(bytes(500_000), 0.0)
    for instant, data in drain(pacer):
        ideal = min(500_000, 2048 + rate * instant)
        assert sent >= ideal - quantum(rate) - 1 or not sent  # just before this piece
        sent += len(data)
        assert sent <= ideal + 1e-3
    assert quantum(rate) <= max(1500, 0.010 * rate)


def test_lateness_is_made_up_for_within_its_bound():
    pacer = Pacer([TokenBucket(KBIT150, 0)])
    pacer.push(bytes(18_750), 0.0)
    assert drain(pacer, late=0.05)[-1][0] == pytest.approx(1.0, abs=0.06)


def test_a_long_stall_is_not_made_up_for():
    pacer = Pacer([TokenBucket(1000.0, 0)])
    pacer.push(bytes(10_000), 0.0)
    pacer.release(0.0)
    released = pacer.release(60.0)[0]
    assert len(released) <= 20 + 1000 * LATENESS + 20


def test_waiting_for_the_origin_earns_only_the_burst():
    pacer = Pacer([TokenBucket(1000.0, 128)])
    pacer.push(bytes(128), 0.0)
    drain(pacer)
    pacer.push(bytes(1000), 50.0)
    assert 108 < len(pacer.release(50.0)[0]) <= 128


def test_free_bytes_pass_before_any_bucket_is_asked():
    pacer = Pacer([TokenBucket(1000.0, 0)], free=16_384)
    pacer.push(bytes(16_500), 0.0)
    assert len(pacer.release(0.0)[0]) == 16_384
    assert drain(pacer)[-1][0] == pytest.approx(0.116)


def test_after_the_freeze_nothing_passes():
    pacer = Pacer([], freeze_after=16_384)
    pacer.push(bytes(20_000), 0.0)
    assert len(pacer.release(0.0)[0]) == 16_384
    pacer.push(bytes(20_000), 1.0)
    assert pacer.release(1e9) == (b"", None)
    assert pacer.backlog == 20_000 - 16_384 + 20_000


def test_latency_holds_the_first_byte():
    pacer = Pacer([], start_at=3.0)
    pacer.push(b"x", 1.0)
    assert pacer.release(1.0) == (b"", 3.0)
    assert pacer.release(3.0) == (b"x", None)


def test_a_window_is_given_at_once():
    pacer = Pacer([WindowBucket(16_000, 1.0)])
    pacer.push(bytes(48_000), 0.0)
    events = drain(pacer)
    assert [round(instant) for instant, _ in events] == [0, 1, 2]
    assert all(len(data) == pytest.approx(16_000, abs=320) for _, data in events)


def test_the_tightest_bucket_rules():
    pacer = Pacer([TokenBucket(rate, quantum(rate)) for rate in (2000.0, 500.0, 1000.0)])
    pacer.push(bytes(1000), 0.0)
    assert drain(pacer)[-1][0] == pytest.approx(2.0, abs=0.1)


def share(pacers, seconds, join=None, stall=0.0):
    """Run pacers with endless backlog against each other, in the order in which they are due and then asked.

    Returns the bytes released per pacer per second.

    With `stall` nothing runs for the first so many seconds of each second: what was due is late by then.
    """
    got = [[0] * seconds for _ in pacers]
    alarms = [((join or {}).get(i, 0.0), i, i) for i in range(len(pacers))]
    for at, _, i in alarms:
        pacers[i].push(bytes(10_000_000), at)
    heapify(alarms)
    now, numbers = 0.0, count(len(pacers))
    while True:
        at, _, i = heappop(alarms)
        now = max(now, at)
        if now >= seconds:
            return got
        now = max(now, int(now) + stall)
        data, wake_at = pacers[i].release(now)
        got[i][int(now)] += len(data)
        heappush(alarms, (wake_at, next(numbers), i))


def jain(shares):
    return sum(shares) ** 2 / (len(shares) * sum(s * s for s in shares))


@pytest.mark.parametrize("rate", [187_500.0, 1_250_000.0])
def test_ten_under_one_cap_share_it_evenly_in_every_second(rate):
    shared = TokenBucket(rate, 2048)
    got = share([Pacer([shared]) for _ in range(10)], 10)
    totals = [sum(row) for row in got]
    assert jain(totals) >= 0.999
    assert min(jain([row[second] for row in got]) for second in range(10)) >= 0.99
    assert sum(totals) == pytest.approx(rate * 10 + 2048, rel=0.005)


@pytest.mark.parametrize("stall", [0.03, 0.09, 0.3])
def test_what_a_busy_machine_delayed_is_shared_evenly_too(stall):
    shared = TokenBucket(1_250_000.0, 2048)
    got = share([Pacer([shared]) for _ in range(10)], 10, stall=stall)
    assert min(jain([row[second] for row in got]) for second in range(1, 10)) >= 0.999


@pytest.mark.parametrize("many", [2, 10])
def test_each_window_is_shared_evenly(many):
    shared = WindowBucket(18_750.0, 1.0)
    got = share([Pacer([shared]) for _ in range(many)], 10)
    assert min(jain([row[second] for row in got]) for second in range(1, 10)) >= 0.99  # the first comer has the first
    assert sum(map(sum, got)) == pytest.approx(187_500, abs=375)


def test_what_a_capped_transfer_leaves_goes_to_the_others():
    shared = TokenBucket(100_000.0, 0)
    slow = [Pacer([TokenBucket(5_000.0, 0), shared]) for _ in range(2)]
    fast = [Pacer([shared]) for _ in range(3)]
    totals = [sum(row) for row in share(slow + fast, 10)]
    assert totals[:2] == pytest.approx([50_000] * 2, rel=0.05)
    assert totals[2:] == pytest.approx([300_000] * 3, rel=0.02)


def test_a_late_joiner_has_its_share_within_half_a_second():
    shared = TokenBucket(187_500.0, 2048)
    got = share([Pacer([shared]) for _ in range(10)], 10, join={9: 4.5})
    assert got[9][4] == pytest.approx(187_500 / 10 / 2, rel=0.25)
    assert got[9][5] == pytest.approx(187_500 / 10, rel=0.05)


chunks = st.lists(st.binary(max_size=3000), max_size=12)


@given(
    chunks,
    st.lists(st.floats(0, 2), max_size=40),
    st.integers(0, 5000),
    st.floats(1, 3),
    st.sampled_from([0.0, 0.004, 0.5]),
    st.sampled_from([[700.0], [700.0, 900.0]]),
)
@example([bytes(50)], [], 1, 1.0, 0.0, [700.0])
def test_bytes_are_neither_lost_nor_reordered_nor_invented(pushes, steps, free, stretch, grain, rates):
    pacer = Pacer([TokenBucket(rate, 64) for rate in rates], free=free)
    now, out, pushes = 0.0, b"", list(pushes)
    body = b"".join(pushes)
    for step in steps:
        if pushes:
            pacer.push(pushes.pop(0), now)
        out += pacer.release(now, stretch, grain)[0]
        assert body.startswith(out)
        now += step
    for chunk in pushes:
        pacer.push(chunk, now)
    out += b"".join(data for _, data in drain(pacer, now))
    assert out == body
    assert pacer.backlog == 0


@given(
    st.lists(st.floats(0.001, 1.5), min_size=1, max_size=60), st.integers(0, 3000), st.sampled_from([0.0, 0.004, 0.032])
)
@example([1.0, 1.0, 1.0, 1.0, 0.1, 1.0], 140, 0.0)
def test_whenever_it_is_woken_it_stays_within_the_law(steps, burst, grain):
    rate, pacer, now, sent = 1000.0, Pacer([TokenBucket(1000.0, burst)]), 0.0, []
    pacer.push(bytes(1_000_000), 0.0)
    for step in steps:
        sent.append((now, len(pacer.release(now, 1.0, grain)[0])))
        now += step
    for i, (start, _) in enumerate(sent):
        total = 0
        for end, size in sent[i:]:
            total += size
            assert total <= max(burst, 100) + rate * (end - start + LATENESS + grain / 2) + 20 + 1e-6


def test_a_pacer_says_how_often_it_wants_to_be_woken():
    assert Pacer([TokenBucket(KBIT150, 0), TokenBucket(2 * KBIT150, 0)]).wakes == 50
    assert (Pacer([]).quantum, Pacer([]).wakes) == (0, 0)


def test_pieces_grow_with_the_stretch_and_are_never_nothing():
    for rate, stretch, size in ((KBIT150, 1.0, 375), (KBIT150, 2.0, 750), (10.0, 1.0, 1), (10.0, 3.0, 3)):
        pacer = Pacer([TokenBucket(rate, 0)])
        pacer.push(bytes(5000), 0.0)
        wake_at = pacer.release(0.0, stretch)[1]
        assert len(pacer.release(wake_at, stretch)[0]) == size


def instants(pacer, until, **how):
    """Return when the pieces of a pacer leave that is woken at exactly the instants that it asks for."""
    now, left = 0.0, []
    while now < until:
        data, wake_at = pacer.release(now, **how)
        left += [now] * bool(data)
        now = wake_at
    return left


def test_pieces_are_due_at_multiples_of_the_grain_and_evenly():
    pacer = Pacer([TokenBucket(KBIT150, 0)])
    pacer.push(bytes(100_000), 0.0013)
    left = instants(pacer, 2.0, stretch=2.75, grain=0.008)[2:]
    byte = 1 / KBIT150
    assert all(-at % 0.008 < byte + 1e-9 or at % 0.008 < 1e-9 for at in left)
    assert [late - early for early, late in pairwise(left)] == pytest.approx([0.056] * (len(left) - 1), abs=byte)
    assert len(left) > 30


def test_what_several_share_is_not_rounded_to_the_grain():
    shared = TokenBucket(KBIT150, 0)
    pacers = [Pacer([shared]), Pacer([shared])]
    for pacer in pacers:
        pacer.push(bytes(100_000), 0.0013)
    now, sizes = 0.0013, set()
    for _ in range(100):
        releases = [pacer.release(now, 1.0, 0.013) for pacer in pacers]
        sizes |= {len(data) for data, _ in releases}
        now = min(wake_at for _, wake_at in releases)
    assert sizes == {0, 375}


def test_the_first_piece_behind_a_wider_bucket_is_as_small_as_any():
    pacer = Pacer([TokenBucket(KBIT150, 0), TokenBucket(100 * KBIT150, 100_000)])
    pacer.push(bytes(5000), 7.0)
    assert len(pacer.release(pacer.release(7.0)[1])[0]) == 375


def test_what_its_own_bucket_refilled_while_it_waited_for_a_wider_one_goes_in_one_piece():
    own, wide = TokenBucket(1000.0, 0), TokenBucket(100_000.0, 0)
    pacer = Pacer([own, wide])
    pacer.push(bytes(5000), 0.0)
    pacer.release(0.0)
    wide.reserve(9000, 0.0)  # 90 ms of somebody else
    first = pacer.release(0.02)[1]
    pacer.release(first)
    assert pacer._piece == pytest.approx(1000.0 * (first - 0.02), abs=1)  # of its own rate, not of the wider one


def test_an_emptied_pacer_passes_on_all_that_was_held_in_order():
    pacer = Pacer([TokenBucket(1.0, 1)])
    pacer.push(b"abc", 0.0)
    pacer.push(b"def", 0.0)
    assert pacer.release(0.0)[0] == b"a"
    assert pacer.emptied().release(0.0)[0] == b"bcdef"

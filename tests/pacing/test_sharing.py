"""Chains of buckets against the fluid model of max-min fairness: all rates rise together until a bucket is used up."""

from heapq import heapify, heappop, heappush
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shaper.pacing.limit import Limit, Scope, quantum
from shaper.pacing.pacer import LATENESS, Pacer
from shaper.pacing.scope import BucketTable

SCOPES = (Scope.RESPONSE, Scope.CLIENT, Scope.AGGREGATE)


def groups(transfers, caps):
    """Who shares which cap, over (start, size, client)."""
    response, client, aggregate = caps
    everyone = range(len(transfers))
    whom = {each: [i for i in everyone if transfers[i][2] == each] for *_, each in transfers}
    return [(response, [i]) for i in everyone] + [(client, whom[each]) for each in whom] + [(aggregate, everyone)]


def rates(active, caps):
    """Each one's rate: they rise together, and who meets a cap that is used up stays where it is."""
    rate, rising = dict.fromkeys(active, 0.0), set(active)
    while rising:
        room = [
            ((cap - sum(rate.get(i, 0.0) for i in sharers)) / len(rising.intersection(sharers)), sharers)
            for cap, sharers in caps
            if rising.intersection(sharers)
        ]
        step, full = min(room, key=lambda each: each[0])
        rate |= {i: rate[i] + step for i in rising}
        rising.difference_update(full)
    return rate


def ideal(transfers, caps):
    """When each would be done if bytes were a fluid."""
    left, done, now = {i: float(size) for i, (_, size, _) in enumerate(transfers)}, {}, 0.0
    while left:
        coming = [transfers[i][0] for i in left if transfers[i][0] > now]
        rate = rates([i for i in left if transfers[i][0] <= now], groups(transfers, caps))
        step = min([left[i] / rate[i] for i in rate] + [at - now for at in coming])
        now += step
        for i in rate:
            left[i] -= rate[i] * step
            if left[i] < 1e-6:
                done[i] = now
                del left[i]
    return done


def paced(transfers, caps):
    """When each is done under real buckets, and what left when."""
    table, limits = BucketTable(), [Limit(scope, cap, 0.0) for scope, cap in zip(SCOPES, caps, strict=True)]
    alarms, numbers = [(start, i, i) for i, (start, *_) in enumerate(transfers)], count(len(transfers))
    heapify(alarms)
    pacers, done, sent = {}, {}, []
    while alarms:
        now, _, i = heappop(alarms)
        if i not in pacers:
            pacers[i] = Pacer(table.chain("rule", limits, connection="", client=transfers[i][2], now=now))
            pacers[i].push(bytes(transfers[i][1]), now)
        data, wake_at = pacers[i].release(now)
        sent += [(now, i, len(data))] if data else []
        if wake_at is None:
            done[i] = now
        else:
            heappush(alarms, (max(now, wake_at), next(numbers), i))
    return done, sent


def excess(sent, cap):
    """The most bytes by which any stretch of time is over the cap."""
    total, least, most = 0, float("inf"), 0.0
    for at, _, size in sent:
        least = min(least, total - cap * at)
        total += size
        most = max(most, total - cap * at - least)
    return most


rate = st.floats(4.0, 5.5).map(lambda exponent: 10**exponent)
transfer = st.tuples(st.floats(0.0, 2.0), st.integers(1, 8).map(lambda size: size * 10_000), st.sampled_from("abc"))


@given(st.lists(transfer, min_size=1, max_size=8), st.tuples(rate, rate, rate))
def test_a_chain_shares_as_the_fluid_model_does_and_never_exceeds_a_bucket(transfers, caps):
    (done, sent), fluid = paced(transfers, caps), ideal(transfers, caps)
    assert max(done.values()) == pytest.approx(max(fluid.values()), rel=0.1, abs=0.2)  # nothing is left unused
    for i, (start, *_) in enumerate(transfers):
        assert done[i] - start == pytest.approx(fluid[i] - start, rel=0.3, abs=0.3)
    piece = max(quantum(min(caps)), quantum(min(caps[1:])))  # each may have one that waits for a wider bucket
    for cap, sharers in groups(transfers, caps):
        over = excess([each for each in sent if each[1] in sharers], cap)
        assert over <= quantum(cap) + cap * LATENESS + piece * len(sharers) + 1e-6

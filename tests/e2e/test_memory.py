"""Bodies of 50 MB, slowed or not taken: what the proxy holds, and how far it reads ahead, stays small."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from shaper.measure.fetched import EAGER, Appetite
from tests.e2e.conftest import policy, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOUND = 512 * 1024
KERNEL = 384 * 1024  # an origin's own buffers, and what the kernel takes until a response is decided on
VIDEO = "/bytes?size=50000000&type=video/mp4"
PAIRS = [(client, origin) for client in ("h1", "h2") for origin in ("h1", "h2")]


async def read_ahead(lab, appetite, come_to_that):
    """Ask for a video over every pairing; return how far the origins are ahead of the clients then."""
    async with AsyncExitStack() as stack:
        tasks = []
        for client, origin in PAIRS:
            options = {"receive_buffer": 16 * 1024} if client == "h1" else {"window": 16 * 1024}
            session = await stack.enter_async_context(await lab.connect(client, origin, **options))
            tasks.append(asyncio.create_task(session.request(f"{VIDEO}&by={client}", appetite=appetite)))
        assert await until(lambda: lab.proxy.shaping.levels.gated == len(PAIRS), 20)
        await come_to_that(lab)
        passed = {(live.client_protocol, live.origin_protocol): live.size for live in lab.proxy.shaping.live}
        sent = {(client, origin): lab.origins[origin].exchange(by=client).sent for client, origin in PAIRS}
        assert lab.proxy.shaping.levels.backlog <= BOUND * len(PAIRS)
    await asyncio.gather(*tasks)
    assert await lab.settled()
    return {pair: sent[pair] - passed[pair] for pair in PAIRS}


async def much_has_passed(lab):
    assert await until(lambda: min(live.size for live in lab.proxy.shaping.live) > 50_000, 20)


async def nothing_passes(lab):
    before, now = None, [live.size for live in lab.proxy.shaping.live]
    while now != before:
        await asyncio.sleep(0.6)
        before, now = now, [live.size for live in lab.proxy.shaping.live]


async def test_slowed_clients_hold_the_origins_back(lab):
    already = len(lab.records)
    ahead = await read_ahead(lab, EAGER, much_has_passed)
    assert max(ahead.values()) < BOUND + KERNEL, ahead
    assert max(record.backlog_peak for record in lab.records[already:]) < BOUND


async def test_stalled_clients_hold_the_origins_back(lab):
    already = len(lab.records)
    with lab.using(policy("2 Mbit/s")):
        ahead = await read_ahead(lab, Appetite(stall_after=1), nothing_passes)
    assert max(ahead.values()) < BOUND + KERNEL, ahead
    assert max(record.backlog_peak for record in lab.records[already:]) < BOUND
    assert min(record.stalled for record in lab.records[already:]) > 0.3


@pytest.mark.parametrize("origin", ["h1", "h2"])
async def test_added_latency_holds_the_origin_back(lab, origin):
    rule = "  - {name: late, target: media, media: [video], latency: {mean: 30 s}}\n"
    with lab.using(policy(rules=rule)):
        async with await lab.connect("h2", origin) as session:
            task = asyncio.create_task(session.request(f"{VIDEO}&late=yes"))
            assert await until(lambda: any(live.verdict.shaped for live in lab.proxy.shaping.live))
            await asyncio.sleep(0.5)
            assert 0 < lab.origins[origin].exchange(late="yes").sent < BOUND + KERNEL
        await task
    assert await lab.settled()

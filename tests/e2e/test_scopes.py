"""Who shares a bucket, with real clients over both protocols. Bounds are wide; `make bench` measures how fairly."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from shaper.measure.run import Outcome
from shaper.pacing.scope import BucketTable
from tests.e2e.conftest import policy

pytestmark = pytest.mark.asyncio(loop_scope="module")

IMAGE = "/bytes?size=25000&type=image/jpeg"
RULE = "  - {name: shared, target: media, media: [image], caps: [CAPS]}\n"


def capped(*caps: str):
    return policy(rules=RULE.replace("CAPS", ", ".join(f"{{{cap}}}" for cap in caps)))


def jain(shares):
    return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))


async def test_ten_transfers_over_both_protocols_share_one_cap(lab):
    with lab.using(capped("scope: client, rate: 1.5 Mbit/s")):
        async with AsyncExitStack() as stack:
            sessions = [await stack.enter_async_context(await lab.connect(each)) for each in ("h1",) * 5 + ("h2",)]
            requests = [session.request("/bytes?size=9000000&type=image/jpeg", timeout=3) for session in sessions]
            requests += [sessions[-1].request("/bytes?size=9000000&type=image/jpeg", timeout=3) for _ in range(4)]
            got = await asyncio.gather(*requests)
    assert {each.outcome for each in got} == {Outcome.TIMEOUT}
    assert jain([each.size for each in got]) > 0.97
    assert sum(each.size for each in got) < 187_500 * 3.2 + 2048


@pytest.mark.parametrize("scope", ["response", "connection", "client", "aggregate"])
async def test_transfers_share_a_bucket_within_their_scope(lab, needs, scope):
    """Two streams of one connection, one on another, and one of another client: as many buckets as it takes."""
    needs("curl", "apt-get install curl")
    table = lab.proxy.shaping.buckets = BucketTable()
    with lab.using(capped(f"scope: {scope}, rate: 400 kbit/s")):
        async with await lab.connect("h2") as one, await lab.connect("h1") as other:
            got = await asyncio.gather(one.request(IMAGE), one.request(IMAGE), other.request(IMAGE), stranger(lab))
    assert len(table) == {"response": 0, "connection": 3, "client": 2, "aggregate": 1}[scope]
    together = {"response": 1, "connection": 2, "client": 3, "aggregate": 3}[scope]  # curl may come late
    assert max(got[0].duration, got[1].duration) > (25_000 * together - 2048) / 50_000 - 0.2


async def stranger(lab):
    """Fetch the image from another address."""
    host, port = lab.proxy.address
    command = ["curl", "-sSf", "--interface", "127.0.0.2", "-x", f"http://{host}:{port}", "--cacert", lab.proxy.ca_pem]
    curl = await asyncio.create_subprocess_exec(*command, "-o", "/dev/null", lab.url(IMAGE))
    assert await curl.wait() == 0


async def test_in_a_chain_the_tightest_bucket_rules(lab):
    with lab.using(capped("rate: 400 kbit/s", "scope: client, rate: 600 kbit/s")):
        alone = await lab.fetch(IMAGE)
        three = await asyncio.gather(*(lab.fetch(IMAGE, client) for client in ("h1", "h2", "h2")))
    assert alone.duration > (25_000 - 2048) / 50_000 - 0.1
    assert max(got.duration for got in three) > (75_000 - 2048) / 75_000 - 0.1

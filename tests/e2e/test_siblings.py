"""What is slowed does not slow what is beside it: on the client's connection, on the origin's, or on both."""

import asyncio

import pytest

from shaper.lab.payload import Stream, digest
from shaper.measure.run import Outcome
from tests.e2e.conftest import policy, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = "/bytes?size=20000&type=text/html"
VIDEO = "/bytes?size=50000000&type=video/mp4"


@pytest.mark.parametrize("origin", ["h1", "h2"])
@pytest.mark.parametrize("client", ["h1", "h2"])
async def test_pages_pass_beside_twenty_slowed_videos(lab, client, origin):
    """With mitmproxy's own five connections to an h1 origin, five slow images would stop them for good."""
    with lab.using(policy("40 kbit/s")):
        connections = [await lab.connect(client, origin) for _ in range(21 if client == "h1" else 1)]
        videos = [asyncio.create_task(session.request(VIDEO)) for session in (connections * 20)[:20]]
        page = connections[-1]
        assert await until(lambda: lab.proxy.shaping.levels.backlog > 20 * 8000)
        for _ in range(10):
            got = await page.request(PAGE, timeout=10)
            assert (got.outcome, got.sha256) == (Outcome.COMPLETE, digest(Stream(20_000)))
        large = await page.request("/bytes?size=5000000&type=text/css", timeout=20)
        assert (large.outcome, large.sha256) == (Outcome.COMPLETE, digest(Stream(5_000_000)))
        assert not any(video.done() for video in videos)
        for session in connections:
            await session.close()
        assert {(await video).outcome for video in videos} == {Outcome.ERROR}
    assert await lab.settled()


async def test_slowed_siblings_each_have_their_own_rate(lab):
    size = 20_000
    async with await lab.connect("h2") as session:
        got = await asyncio.gather(*(session.request(f"/bytes?size={size}&type=image/png") for _ in range(5)))
    assert [each.sha256 for each in got] == [digest(Stream(size))] * 5
    assert max(each.duration for each in got) < 5 * size / 50_000


@pytest.mark.parametrize("origin", ["h1", "h2"])
async def test_a_stalled_stream_holds_back_no_sibling(lab, origin):
    from shaper.measure.fetched import Appetite  # noqa: PLC0415

    async with await lab.connect("h2", origin, window=16_384) as session:
        with lab.using(policy("400 Mbit/s")):
            stalled = asyncio.create_task(session.request(VIDEO, appetite=Appetite(stall_after=1)))
            assert await until(lambda: lab.proxy.shaping.levels.backlog > 0)
            got = await session.request("/bytes?size=1000000&type=image/png", timeout=20)
            assert (got.outcome, got.sha256) == (Outcome.COMPLETE, digest(Stream(1_000_000)))
            assert not stalled.done()
    await stalled
    assert await lab.settled()

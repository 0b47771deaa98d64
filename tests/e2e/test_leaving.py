"""Who leaves before the end: everything is let go at once, and nothing unfinished passes for complete."""

import asyncio
from time import monotonic

import pytest

from shaper.lab.payload import Stream, whole
from shaper.measure.fetched import Appetite
from shaper.measure.run import Outcome
from tests.e2e.conftest import policy, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

VIDEO = "/bytes?size=50000000&type=video/mp4"
PAIRS = [("h1", "h1", "http"), *((c, o, "https") for c in ("h1", "h2") for o in ("h1", "h2"))]
pairs = pytest.mark.parametrize(("client", "origin", "scheme"), PAIRS)


async def leaves(lab, origin, session, task):
    """Cancel the request; return the seconds until the origin knew."""
    exchange = lab.origins[origin].seen[-1]
    left = monotonic()
    task.cancel()
    if session.protocol == "h1":
        await session.close()
    assert await until(lambda: exchange.aborted is not None)
    return exchange.aborted - left


@pairs
async def test_a_client_that_leaves_stops_the_origin_within_a_second(lab, client, origin, scheme):
    already = len(lab.records)
    async with await lab.connect(client, origin, scheme=scheme) as session:
        task = asyncio.create_task(session.request(VIDEO))
        assert await until(lambda: lab.proxy.shaping.levels.gated == 1)
        assert await leaves(lab, origin, session, task) < 1
        assert await lab.settled()
        assert lab.origins[origin].seen[-1].sent < 1_000_000
        assert [r.outcome for r in lab.records[already:]] == ["client-abort"]
        if client == "h2":  # the connection goes on
            assert (await session.request("/bytes?size=10&type=text/css")).size == 10


@pairs
async def test_leaving_before_the_first_byte_is_leaving_too(lab, client, origin, scheme):
    already = len(lab.records)
    async with await lab.connect(client, origin, scheme=scheme) as session:
        seen = len(lab.origins[origin].seen)
        task = asyncio.create_task(session.request(f"{VIDEO}&delay=30"))
        assert await until(lambda: len(lab.origins[origin].seen) > seen)
        assert await leaves(lab, origin, session, task) < 1
        assert await lab.settled()
        assert [r.outcome for r in lab.records[already:]] == ["client-abort"]


@pytest.mark.parametrize("client", ["h1", "h2"])
async def test_leaving_ends_added_latency(lab, client):
    rule = "  - {name: late, target: media, media: [image, video], latency: {mean: 30 s}}\n"
    already = len(lab.records)
    with lab.using(policy(rules=rule)):
        async with await lab.connect(client) as session:
            task = asyncio.create_task(session.request(VIDEO))
            assert await until(lambda: any(live.verdict and live.verdict.shaped for live in lab.proxy.shaping.live))
            assert await leaves(lab, "both", session, task) < 1
            assert await lab.settled()
            assert [r.outcome for r in lab.records[already:]] == ["client-abort"]


@pytest.mark.parametrize("client", ["h1", "h2"])
async def test_a_frozen_transfer_keeps_still_until_the_client_leaves(lab, client):
    rule = "  - {name: freeze, target: media, media: [video], freeze_after: 16 KiB}\n"
    with lab.using(policy(rules=rule)):
        async with await lab.connect(client) as session:
            task = asyncio.create_task(session.request(VIDEO))
            assert await until(lambda: any(live.size == 16_384 for live in lab.proxy.shaping.live))
            await asyncio.sleep(0.3)
            assert not task.done()
        assert (await task).size == 16_384
    assert await lab.settled()
    assert (lab.records[-1].size, lab.records[-1].outcome) == (16_384, "client-abort")


@pairs
async def test_an_origin_that_dies_is_an_error_after_the_paid_for_bytes(lab, client, origin, scheme):
    already = len(lab.records)
    targets = [
        f"/bytes?size=100000&abort_after=20000&type=image/png&framing={framing}&{when}"
        for framing in ("length", "chunked")
        for when in ("", "rate=300 kbit/s")
    ]
    sent = [t.replace(" ", "%20") for t in targets]
    everything = await asyncio.gather(*(lab.fetch(t, client, origin, scheme=scheme, timeout=10) for t in sent))
    for target, got in zip(targets, everything, strict=True):
        assert got.outcome is Outcome.ERROR, target
        assert got.size == 20_000, target
        assert got.duration > (20_000 - 2048) / 50_000 - 0.1, target
    assert await lab.settled()
    assert [r.outcome for r in lab.records[already:]] == ["origin-abort"] * len(targets)


async def test_an_origin_that_dies_at_once_is_an_error_too(lab):
    pairings = [(c, o) for c in ("h1", "h2") for o in ("h1", "h2")]
    target = "/bytes?size=100000&abort_after=0&type=image/png"
    everything = await asyncio.gather(*(lab.fetch(target, *pairing, timeout=5) for pairing in pairings))
    assert {got.outcome for got in everything} == {Outcome.ERROR}
    assert {got.size for got in everything} == {0}


async def test_a_frozen_origin_is_left_when_the_client_leaves(lab):
    async with await lab.connect("h2", "h2") as session:
        task = asyncio.create_task(session.request("/bytes?size=100000&type=image/png&stall_after=5000"))
        assert await until(lambda: any(live.size == 5000 for live in lab.proxy.shaping.live))
        assert await leaves(lab, "h2", session, task) < 1
    assert await lab.settled()


async def test_bytes_before_the_break_are_the_right_ones(lab, needs, tmp_path):
    program = needs("curl", "apt-get install curl")
    host, port = lab.proxy.address
    target = lab.url("/bytes?size=100000&abort_after=20000&type=image/png", "h1")
    common = ["-sS", "-x", f"http://{host}:{port}", "--cacert", str(lab.proxy.ca_pem), "-m", "10"]
    process = await asyncio.create_subprocess_exec(program, *common, "-o", str(tmp_path / "part"), target, stderr=-1)
    _, errors = await process.communicate()
    assert process.returncode == 18, errors  # CURLE_PARTIAL_FILE
    assert (tmp_path / "part").read_bytes() == whole(Stream(20_000))


async def test_a_client_that_takes_what_it_wants_and_leaves_is_no_error_of_the_proxy(lab):
    got = await lab.fetch(VIDEO, "h1", appetite=Appetite(leave_after=10_000))
    assert got.size >= 10_000
    assert await lab.settled()

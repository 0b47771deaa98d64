"""Uploads arrive as they were sent: slowed when a rule says so, and else streamed and never stored."""

import asyncio
import json
from hashlib import sha256
from time import monotonic

import pytest

from shaper.lab.payload import Stream, digest, whole
from shaper.measure.run import Outcome
from tests.e2e.conftest import policy, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAIRS = [("h1", "h1", "http"), *((c, o, "https") for c in ("h1", "h2") for o in ("h1", "h2"))]
pairs = pytest.mark.parametrize(("client", "origin", "scheme"), PAIRS)
IMAGE = [("content-type", "image/jpeg")]
UP = "  - {name: up, target: media, media: [image], direction: up, caps: [{rate: 400 kbit/s, burst: 2 KiB}]}\n"


def counted(size: int) -> str:
    """The hash of the origin's answer to an upload of so many bytes of the lab's stream."""
    return sha256(json.dumps({"size": size, "sha256": digest(Stream(size))}).encode()).hexdigest()


@pairs
async def test_an_upload_is_slowed_and_one_beside_it_is_not(lab, client, origin, scheme):
    already = len(lab.records)
    with lab.using(policy(rules=UP)):
        slow, quick = await asyncio.gather(
            lab.fetch(
                "/upload", client, origin, scheme=scheme, method="POST", headers=IMAGE, body=whole(Stream(25_000))
            ),
            lab.fetch("/upload", client, origin, scheme=scheme, method="POST", body=whole(Stream(400_000))),
        )
    assert [got.outcome for got in (slow, quick)] == [Outcome.COMPLETE] * 2
    assert [got.sha256 for got in (slow, quick)] == [counted(25_000), counted(400_000)]
    assert slow.duration > (25_000 - 2048) / 50_000 - 0.1
    assert await lab.settled()
    ups = sorted((r for r in lab.records[already:] if r.direction == "up"), key=lambda record: record.size)
    assert [(r.size, r.reason, r.outcome) for r in ups] == [
        (25_000, "matched", "complete"),
        (400_000, "no-rule", "complete"),
    ]
    assert (ups[0].held > 0.3, ups[1].held) == (True, 0)


@pytest.mark.parametrize("origin", ["h1", "h2"])
async def test_a_client_that_leaves_its_upload_frees_everything(lab, origin):
    """Of an h1 client, what it sent before it left is still read first; so this is an h2 client."""
    with lab.using(policy(rules=UP)):
        async with await lab.connect("h2", origin) as session:
            body = whole(Stream(300_000))
            already = len(lab.origins[origin].seen)
            task = asyncio.create_task(session.request("/upload", method="POST", headers=IMAGE, body=body))
            assert await until(lambda: lab.proxy.shaping.levels.gated and len(lab.origins[origin].seen) > already)
            exchange, left = lab.origins[origin].seen[-1], monotonic()
            task.cancel()
            assert await until(lambda: exchange.aborted is not None)
            assert exchange.aborted - left < 1
        assert await lab.settled()

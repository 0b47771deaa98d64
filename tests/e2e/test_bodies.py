"""Every way in which a body can be framed, over every pairing of protocols, slowed: what arrives is what was sent."""

import asyncio
from base64 import b64encode

import pytest

from shaper.lab.payload import Stream, digest
from shaper.measure.probe import fetch
from shaper.measure.run import Outcome
from tests.e2e.conftest import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SIZE = 25_000
RATE = 400_000 / 8
BURST = 2048
LATENESS = 0.1
PAIRS = [("h1", "h1", "http"), *((c, o, "https") for c in ("h1", "h2") for o in ("h1", "h2", "both"))]
HOP = {"connection", "transfer-encoding", "content-length", "trailer"}

IMAGE = f"/bytes?size={SIZE}&type=image/jpeg"
KINDS = {
    "length": (IMAGE, ()),
    "chunked": (f"{IMAGE}&framing=chunked", ()),
    "read to the end": (f"{IMAGE}&framing=close", ()),
    "in small chunks": (f"{IMAGE}&framing=chunked&chunk=317", ()),
    "one range": (f"/bytes?size={2 * SIZE}&type=video/mp4", [("range", f"bytes=999-{SIZE + 998}")]),
    "two ranges": (f"/bytes?size={2 * SIZE}&type=video/mp4", [("range", f"bytes=0-9999,20000-{SIZE + 9999}")]),
    "gzip": (f"{IMAGE}&encoding=gzip", ()),
    "told by its bytes": ("/photos/contours.png?type=application/octet-stream", ()),
}


@pytest.mark.parametrize(("client", "origin", "scheme"), PAIRS)
async def test_every_framing_carries_the_same_bytes_slowly(lab, client, origin, scheme):
    server = lab.origins[origin]
    port, spoken = (server.plain_port, "h1") if scheme == "http" else (server.port, "h2" if origin == "h2" else "h1")
    straight = {"address": ("127.0.0.1", port), "ca": server.ca_pem, "protocol": spoken}

    async def compare(target, headers):
        url = lab.url(target, origin, scheme=scheme)
        return await asyncio.gather(
            fetch(url, headers=headers, **straight),
            lab.fetch(target, client, origin, scheme=scheme, headers=headers, timeout=20),
        )

    already = len(lab.records)
    results = await asyncio.gather(*(compare(target, headers) for target, headers in KINDS.values()))
    for kind, (sent, got) in zip(KINDS, results, strict=True):
        assert (got.outcome, got.status, got.sha256) == (Outcome.COMPLETE, sent.status, sent.sha256), kind
        assert _end_to_end(got.headers) == _end_to_end(sent.headers), kind
        assert got.duration >= (got.size - BURST) / RATE - LATENESS, kind
    assert await lab.settled()
    records = lab.records[already:]
    assert {(r.reason, r.rule, r.outcome) for r in records} == {("matched", "slow", "complete")}
    assert sorted(r.size for r in records) == sorted(got.size for _, got in results)
    assert all(0.3 < r.rate_ratio < 1.5 for r in records)  # short transfers, and a machine that may be busy
    agreed = {"h2": "h2", "h1": "h1", "both": client}[origin]
    assert {(r.client_protocol, r.origin_protocol) for r in records} == {(client, agreed)}


def _end_to_end(headers):
    return {name: value for name, value in headers.items() if name not in HOP}


@pytest.mark.parametrize("origin", ["h1", "h2"])
@pytest.mark.parametrize("client", ["h1", "h2"])
async def test_trailers_arrive_after_the_slowed_body(lab, client, origin):
    got = await lab.fetch(f"{IMAGE}&framing=chunked&trailers=1", client, origin, timeout=10)
    assert (got.outcome, got.sha256) == (Outcome.COMPLETE, digest(Stream(SIZE)))
    assert got.trailers == {"content-digest": f"sha-256=:{b64encode(bytes.fromhex(got.sha256)).decode()}:"}
    assert got.duration > (SIZE - BURST) / RATE - LATENESS


@pytest.mark.parametrize(("client", "origin", "scheme"), PAIRS)
async def test_a_kept_connection_is_used_again(lab, client, origin, scheme):
    already = len(lab.origins[origin].seen)
    async with await lab.connect(client, origin, scheme=scheme) as session:
        for size in (3000, 1, 0, 4001, 5000, 6000, 7001):
            framing = "chunked" if size % 2 else "length"
            got = await session.request(f"/bytes?size={size}&type=image/png&framing={framing}")
            assert (got.status, got.sha256) == (200, digest(Stream(size)))
    connections = {exchange.request.connection for exchange in lab.origins[origin].seen[already:]}
    one_each = client == "h2" and origin == "h1"  # mitmproxy then uses an origin's connection for one request only
    assert len(connections) == (7 if one_each else 1)


@pytest.mark.parametrize("client", ["h1", "h2"])
async def test_what_has_no_body_is_not_slowed(lab, client):
    already = len(lab.records)
    etag = (await lab.fetch("/bytes?size=10&type=text/plain", client)).headers["etag"]
    async with await lab.connect(client) as session:
        head = await session.request(IMAGE, method="HEAD")
        empty = await session.request("/bytes?type=image/png&status=204")
        unchanged = await session.request("/bytes?size=10&type=text/plain", headers=[("if-none-match", etag)])
        image = await session.request("/bytes?size=1000&type=image/png")
    assert [got.status for got in (head, empty, unchanged, image)] == [200, 204, 304, 200]
    assert [got.size for got in (head, empty, unchanged, image)] == [0, 0, 0, 1000]
    assert head.headers["content-length"] == str(SIZE)
    assert await lab.settled()
    assert [r.reason for r in lab.records[already:]] == ["no-rule", "bodiless", "bodiless", "bodiless", "matched"]


async def test_html_script_and_json_of_a_target_pass_at_full_speed(lab):
    already = len(lab.records)
    kinds = ("text/html", "text/javascript", "application/json", "image/svg%2Bxml")
    got = await asyncio.gather(*(lab.fetch(f"/bytes?size=20000&type={kind}", "h2") for kind in kinds))
    assert [each.sha256 for each in got] == [digest(Stream(20_000))] * 4
    assert await lab.settled()
    page, script, data, picture = sorted(lab.records[already:], key=lambda record: record.reason == "matched")
    assert [r.reason for r in (page, script, data)] == ["no-rule"] * 3
    assert (picture.reason, picture.media) == ("matched", "image")
    assert all(r.held == 0 for r in (page, script, data))


async def test_a_reload_spares_transfers_under_way(lab):
    from tests.e2e.conftest import policy  # noqa: PLC0415

    async with await lab.connect("h2") as session:
        slow = asyncio.create_task(session.request("/bytes?size=40000&type=image/png"))
        assert await until(lambda: any(live.size for live in lab.proxy.shaping.live))
        with lab.using(policy("80 Mbit/s")):
            fast = await session.request("/bytes?size=40001&type=image/png")
            assert fast.duration < 0.5 < (await slow).duration

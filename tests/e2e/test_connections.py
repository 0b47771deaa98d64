"""Rules for whole connections: opaque bytes, both ways, by SNI or by the name asked for, and never decrypted."""

import asyncio
import json
import ssl
from hashlib import sha256
from time import monotonic

import pytest

from shaper.lab.payload import Stream, digest, whole
from shaper.measure.run import Outcome
from tests.e2e.conftest import policy, until
from tests.e2e.test_untouched import tunnel

pytestmark = pytest.mark.asyncio(loop_scope="module")

IMAGE = "/bytes?size=25000&type=image/jpeg"
TARGET = "targets: {media: {hosts: "
WHOLE = "  - {name: whole, target: media, level: connection, CAPS}\n"
SLOW = "caps: [{scope: connection, rate: 400 kbit/s, burst: 2 KiB}]"


def whole_connections(caps: str, host: str = "*.other.test"):
    """Return a policy whose only rule in force is about connections to `host`, for which there is no CA."""
    text = policy(rules=WHOLE.replace("CAPS", caps)).model_dump(mode="json", exclude_unset=True)
    text["targets"]["media"]["hosts"] = [host]
    text["rules"] = text["rules"][:1]
    return type(policy()).model_validate(text)


@pytest.mark.parametrize("client", ["h1", "h2"])
async def test_a_connection_is_slowed_unseen(lab, client):
    """The client trusts the origin's CA and no other. TLS adds to what passes under the cap."""
    already = len(lab.records)
    with lab.using(whole_connections(SLOW)):
        got = await lab.fetch(IMAGE, client, domain="other.test", timeout=10)
    assert (got.outcome, got.sha256, got.protocol) == (Outcome.COMPLETE, digest(Stream(25_000)), client)
    assert got.handshake + got.duration > (25_000 - 2048) / 50_000 - 0.1
    assert await lab.settled()
    down, up = sorted(lab.records[already:], key=lambda record: record.direction)
    assert (down.direction, up.direction) == ("down", "up")
    assert {(r.level, r.rule, r.outcome) for r in (down, up)} == {("connection", "whole", "complete")}
    assert (down.reason, up.reason, up.rate, up.held) == ("matched", "uncapped", None, 0)
    assert 25_000 < down.size < 40_000
    assert 300 < up.size == up.received < 2000  # the ClientHello and the request, counted and not slowed


async def test_a_connection_is_slowed_upwards_with_a_bucket_of_its_own(lab):
    body = whole(Stream(25_000))
    counted = sha256(json.dumps({"size": 25_000, "sha256": digest(Stream(25_000))}).encode()).hexdigest()
    with lab.using(whole_connections(f"direction: both, {SLOW}")):
        got = await lab.fetch("/upload", domain="other.test", method="POST", body=body, timeout=10)
    assert (got.outcome, got.sha256) == (Outcome.COMPLETE, counted)
    assert got.duration > (25_000 - 2048) / 50_000 - 0.1
    assert await lab.settled()
    up = next(record for record in reversed(lab.records) if record.direction == "up")
    assert up.size > 25_000
    assert up.held > 0.2


@pytest.mark.parametrize("direction", ["down", "up", "both"])
async def test_plain_http_is_slowed_in_the_directions_of_the_rule(lab, direction):
    already, body = len(lab.records), whole(Stream(25_000))
    with lab.using(whole_connections(f"direction: {direction}, {SLOW}")):
        await lab.fetch("/upload", domain="other.test", scheme="http", method="POST", body=body, timeout=10)
        assert await until(lambda: len(lab.records) == already + 2)
        got = await lab.fetch(IMAGE, domain="other.test", scheme="http", timeout=10)
    assert got.sha256 == digest(Stream(25_000))
    assert await lab.settled()
    upload = next(record for record in lab.records[already:] if record.direction == "up")
    held = {"up": upload.held > 0.2, "down": lab.records[-1].held > 0.2}
    assert held == {each: direction in {each, "both"} for each in held}


async def test_a_client_that_closes_a_slowed_tunnel_stops_the_origin(lab):
    already = len(lab.records)
    with lab.using(whole_connections(SLOW)):
        async with await lab.connect("h1", domain="other.test") as session:
            task = asyncio.create_task(session.request("/bytes?size=50000000&type=video/mp4"))
            assert await until(lambda: lab.proxy.shaping.levels.gated == 1)
            exchange, left = lab.origins["both"].seen[-1], monotonic()
        assert await until(lambda: exchange.aborted is not None)
        assert exchange.aborted - left < 1
        await task
    assert await lab.settled()
    down = next(record for record in lab.records[already:] if record.direction == "down")
    assert down.outcome == "client-abort"
    assert exchange.sent < 1_000_000


async def test_an_origin_that_dies_in_a_slowed_tunnel_is_an_error_after_its_bytes(lab):
    with lab.using(whole_connections(SLOW)):
        got = await lab.fetch("/bytes?size=100000&abort_after=20000", domain="other.test", timeout=10)
    assert (got.outcome, got.size) == (Outcome.ERROR, 20_000)
    assert got.handshake + got.duration > (20_000 - 2048) / 50_000 - 0.1
    assert await lab.settled()


@pytest.mark.parametrize("block", ["refuse", "reset"])
async def test_a_blocked_connection_carries_nothing(lab, block):
    already = len(lab.records)
    with lab.using(whole_connections(f"block: {block}")):
        got = await lab.fetch(IMAGE, domain="other.test", timeout=5)
        plain = await lab.fetch(IMAGE, domain="other.test", scheme="http", timeout=5)
    assert (got.outcome, got.size) == (Outcome.ERROR, 0)
    assert plain.size == 0
    assert (plain.status, plain.outcome) == ((403, Outcome.COMPLETE) if block == "refuse" else (0, Outcome.ERROR))
    assert ("reset" in got.error.lower(), "reset" in plain.error.lower()) == ((block == "reset"),) * 2
    assert await lab.settled()
    assert [record.outcome for record in lab.records[already:]] == ["blocked", "blocked"]


@pytest.mark.parametrize("block", ["refuse", "reset"])
@pytest.mark.parametrize("asked", ["CONNECT {}", "GET http://{}/", "PUT http://{}/"])
async def test_the_origin_of_a_blocked_host_hears_nothing(lab, block, asked):
    connections, already = [], len(lab.records)
    origin = await asyncio.start_server(lambda *both: connections.append(both), "127.0.0.1", 0)
    authority = f"127.0.0.1:{origin.sockets[0].getsockname()[1]}"
    with lab.using(whole_connections(f"block: {block}", "127.0.0.1")):
        _, writer = await asyncio.open_connection(*lab.proxy.address)
        writer.write(
            f"{asked.format(authority)} HTTP/1.1\r\nhost: {authority}\r\ncontent-length: 3\r\n\r\nabc".encode()
        )
        assert await until(lambda: len(lab.records) > already)
        writer.close()
    origin.close()
    assert await lab.settled()
    assert [(record.outcome, record.size) for record in lab.records[already:]] == [("blocked", 0)]
    assert connections == []


async def test_a_reset_connection_ends_as_a_device_in_its_path_would_end_it(lab):
    with lab.using(whole_connections("block: reset")):
        reader, writer = await tunnel(lab, "both.other.test:443")
        writer.write(b"no TLS, but bytes")
        with pytest.raises(ConnectionResetError):  # a mere close would be the end of what there is to read
            await reader.read()
    assert await lab.settled()


async def test_a_connection_is_refused_by_its_sni_whatever_name_was_asked_for(lab):
    async def answer(reader, writer):
        writer.write(await reader.read(1))

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with lab.using(whole_connections("block: refuse")):
        _, writer = await tunnel(lab, f"127.0.0.1:{port}")
        with pytest.raises(ConnectionError):
            await writer.start_tls(ssl.create_default_context(), server_hostname="both.other.test")
    server.close()
    assert await lab.settled()
    assert lab.records[-1].outcome == "blocked"


async def test_a_frozen_connection_keeps_still(lab):
    with lab.using(whole_connections("freeze_after: 16 KiB")):
        async with await lab.connect(domain="other.test") as session:
            task = asyncio.create_task(session.request(IMAGE))
            assert await until(lambda: any(live.size == 16_384 for live in lab.proxy.shaping.live))
            await asyncio.sleep(0.3)
            assert not task.done()
        await task
    assert await lab.settled()
    down = next(record for record in reversed(lab.records) if record.direction == "down")
    assert (down.size, down.outcome) == (16_384, "client-abort")


@pytest.mark.parametrize("client", ["h1", "h2"])
async def test_a_blocked_image_is_refused_and_the_page_is_not(lab, client):
    already = len(lab.records)
    with lab.using(policy(rules="  - {name: no, target: media, media: [image], block: refuse}\n")):
        async with await lab.connect(client) as session:
            refused = await session.request(IMAGE, timeout=5)
            page = await session.request("/bytes?size=10&type=text/html", timeout=5)
    assert (refused.outcome, refused.status, refused.size) == (Outcome.COMPLETE, 403, 0)
    assert (page.status, page.size) == (200, 10)
    assert await lab.settled()
    assert [(r.outcome, r.size) for r in lab.records[already:]] == [("blocked", 0), ("complete", 10)]


@pytest.mark.parametrize("client", ["h1", "h2"])
@pytest.mark.parametrize("kind", ["image/jpeg", "application/octet-stream"])
async def test_a_reset_image_is_an_error(lab, client, kind):
    """Of the second kind only the first bytes tell that it is an image, and then the headers are out."""
    with lab.using(policy(rules="  - {name: no, target: media, media: [image], block: reset}\n")):
        got = await lab.fetch(f"/photos/dawn.jpg?type={kind}", client, timeout=5)
    assert (got.outcome, got.size) == (Outcome.ERROR, 0)
    assert "reset" in got.error.lower()
    assert await lab.settled()
    assert lab.records[-1].outcome == "blocked"

"""What is no target, or no body to slow, is not touched: not decrypted, not delayed, not even looked into."""

import asyncio
import ssl

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Request, TextMessage

from shaper.lab.payload import Stream, digest
from shaper.measure.run import Outcome
from shaper.policy.admission import Admission
from tests.e2e.conftest import policy

pytestmark = pytest.mark.asyncio(loop_scope="module")

IMAGE = "/bytes?size=300000&type=image/jpeg"


async def tunnel(lab, authority: str, name: str | None = None):
    """Open a tunnel to `authority` and, with a name, TLS for it inside; return reader and writer."""
    reader, writer = await asyncio.open_connection(*lab.proxy.address)
    writer.write(f"CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 200 " in head, head
    if name:
        trust = ssl.create_default_context(cafile=lab.ca(name.partition(".")[2]))
        await writer.start_tls(trust, server_hostname=name)
    return reader, writer


@pytest.mark.parametrize("client", ["h1", "h2"])
async def test_an_untargeted_host_shows_its_own_certificate_and_is_not_slowed(lab, client):
    """The client trusts the origin's CA and no other, so the proxy cannot have decrypted it."""
    already = len(lab.records)
    got = await lab.fetch(IMAGE, client, domain="other.test")
    assert (got.outcome, got.sha256) == (Outcome.COMPLETE, digest(Stream(300_000)))
    wrong = await lab.fetch(IMAGE, client, domain="other.test", headers=())
    assert wrong.protocol == client
    assert len(lab.records) == already
    count = lab.proxy.metrics.registry.get_sample_value
    labels = {"admission": Admission.TUNNEL, "reason": "untargeted"}
    assert count("shaper_connections_total", labels) >= 2


async def test_a_targeted_host_shows_the_certificate_of_the_proxy(lab):
    _, writer = await tunnel(lab, "both.media.test:443", "both.media.test")
    issuer = dict(pair[0] for pair in writer.get_extra_info("peercert")["issuer"])
    writer.close()
    assert issuer["organizationName"] == "e2e"


async def test_plain_http_of_an_untargeted_host_is_not_slowed_and_not_kept(lab):
    already = len(lab.records)
    got = await lab.fetch(IMAGE, domain="other.test", scheme="http")
    assert got.sha256 == digest(Stream(300_000))
    assert len(lab.records) == already


async def test_an_opaque_protocol_in_a_tunnel_is_relayed_both_ways(lab):
    async def echo(reader, writer):
        writer.write(b"220 hello\r\n")
        writer.write(await reader.readexactly(100_000))
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await tunnel(lab, f"127.0.0.1:{port}")
    assert await reader.readexactly(11) == b"220 hello\r\n"
    writer.write(b"\x00\x01" * 50_000)
    assert await reader.read(-1) == b"\x00\x01" * 50_000
    writer.close()
    server.close()


@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_a_websocket_of_a_target_passes(lab, scheme):
    host = "h1.media.test"
    reader, writer = await tunnel(
        lab, f"{host}:{443 if scheme == 'https' else 80}", host if scheme == "https" else None
    )
    client, said = WSConnection(ConnectionType.CLIENT), []
    writer.write(client.send(Request(host=host, target="/socket")))
    while "".join(said) != "good day" * 500:
        client.receive_data(await asyncio.wait_for(reader.read(65536), 5))
        for event in client.events():
            if isinstance(event, AcceptConnection):
                writer.write(client.send(TextMessage("good day" * 500)))
            elif isinstance(event, TextMessage):
                said.append(event.data)
            assert not isinstance(event, CloseConnection)
    writer.write(client.send(CloseConnection(1000)))
    writer.close()
    assert await lab.settled()
    assert (lab.records[-1].reason, lab.records[-1].status) == ("upgrade", 101)


@pytest.mark.parametrize("client", ["h1", "h2"])
async def test_server_sent_events_pass_one_by_one(lab, client):
    rule = "  - {name: all, target: media, media: [image, video, audio, other], caps: [{rate: 1 kbit/s, burst: 1 B}]}\n"
    with lab.using(policy(rules=rule)):
        got = await lab.fetch("/events?count=4&every=0.1", client, timeout=10)
    assert (got.outcome, got.size) == (Outcome.COMPLETE, 4 * len("data: 0\n\n"))
    assert len(got.reads) > 1  # not stored and sent in one
    assert await lab.settled()
    assert (lab.records[-1].reason, lab.records[-1].held) == ("event-stream", 0)

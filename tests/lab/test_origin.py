import asyncio
import json
import ssl
import sys
from hashlib import sha256
from time import monotonic

import h2.connection
import h2.events
import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Request, TextMessage

from shaper.lab.origin import Origin
from shaper.lab.payload import Stream, digest, whole
from shaper.lab.site import assets

SIZE = 300_000


async def until(true, seconds=5.0):
    """Wait until `true()`; the return says whether it came to pass."""
    end = monotonic() + seconds
    while not true() and monotonic() < end:  # noqa: ASYNC110, what is awaited lives in the origin
        await asyncio.sleep(0.01)
    return true()


async def test_every_asset_arrives_as_it_is(origin, curl, version):
    for path, body in assets().items():
        got = await curl(origin, path, version)
        assert sha256(got.out).hexdigest() == digest(body), path
        assert origin.seen[-1].sent == body.size


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_every_framing_carries_the_same_bytes(origin, curl, version, framing, scheme):
    if scheme == "http" and version == "--http2":
        version = "--http2-prior-knowledge"
    got = await curl(origin, f"/bytes?size={SIZE}&framing={framing}", version, scheme=scheme)
    assert sha256(got.out).hexdigest() == digest(Stream(SIZE))
    assert origin.seen[-1].request.protocol == ("h1" if version == "--http1.1" else "h2")


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_the_headers_say_how_the_body_ends(origin, curl, framing):
    got = await curl(origin, f"/bytes?size=10&framing={framing}", "--http1.1", "-D-", "-o/dev/null")
    head = got.out.lower()
    assert (b"content-length: 10" in head) is (framing == "length")
    assert (b"transfer-encoding: chunked" in head) is (framing == "chunked")
    assert (b"connection: close" in head) is (framing == "close")


async def test_trailers_follow_the_body(origin, curl, version):
    got = await curl(origin, "/bytes?size=10&framing=chunked&trailers=1", version, "-i")
    assert got.out.rpartition(whole(Stream(10)))[2].startswith(b"content-digest: sha-256=:")


async def test_one_connection_serves_one_request_after_another(origin, curl, version):
    got = await curl(origin, "/bytes?size=10 /bytes?size=20 /bytes?size=30&framing=chunked", version)
    assert got.out == whole(Stream(10)) + whole(Stream(20)) + whole(Stream(30))
    assert {exchange.request.connection for exchange in origin.seen} == {1}


async def test_pipelined_requests_are_answered_in_order(origin):
    reader, writer = await asyncio.open_connection("127.0.0.1", origin.plain_port)
    for size in (10, 20, 30):
        writer.write(f"GET /bytes?size={size}&framing=chunked HTTP/1.1\r\nhost: example.org\r\n\r\n".encode())
    writer.write(b"HEAD / HTTP/1.1\r\nhost: example.org\r\nconnection: close\r\n\r\n")
    answer = await reader.read(-1)
    writer.close()
    at = [answer.index(whole(Stream(size))) for size in (10, 20, 30)]
    assert at == sorted(at)
    assert answer.count(b"HTTP/1.1 200") == 4


async def test_an_upload_is_counted_and_hashed(origin, curl, version, tmp_path):
    (tmp_path / "body").write_bytes(whole(Stream(3_000_000)))
    options = ["--data-binary", f"@{tmp_path / 'body'}", "-H", "Expect: 100-continue"]
    got = await curl(origin, "/upload", version, *options)
    assert json.loads(got.out) == {"size": 3_000_000, "sha256": digest(Stream(3_000_000))}


async def test_a_break_is_an_error_after_exactly_the_bytes_asked_for(origin, curl, version, tmp_path):
    for framing in ("length", "chunked"):
        target = f"/bytes?size={SIZE}&abort_after=100001&framing={framing}"
        got = await curl(origin, target, version, "-o", str(tmp_path / "part"))
        assert got.code != 0
        assert whole(Stream(SIZE)).startswith((tmp_path / "part").read_bytes())
        assert origin.seen[-1].sent == 100_001
        assert origin.seen[-1].aborted is None


async def test_a_rate_is_kept(origin, curl, version):
    begun = monotonic()
    got = await curl(origin, "/bytes?size=20000&rate=200%20kbit/s", version)
    assert sha256(got.out).hexdigest() == digest(Stream(20_000))
    assert monotonic() - begun > 0.7


async def test_a_client_that_leaves_during_a_silence_is_noticed(origin, curl, version):
    begun = monotonic()
    got = await curl(origin, f"/bytes?size={SIZE}&stall_after=1000", version, "-m", "2")
    exchange = origin.seen[-1]
    assert len(got.out) == 1000
    assert await until(lambda: exchange.aborted is not None)
    assert 1.9 < exchange.aborted - begun < 10
    assert exchange.ended is None


async def test_a_stalled_reader_is_sent_no_more_than_its_window_while_its_sibling_is_served(origin):
    tls = ssl.create_default_context(cafile=origin.ca_pem)
    tls.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection("127.0.0.1", origin.port, ssl=tls, server_hostname="example.org")
    client = h2.connection.H2Connection()
    client.initiate_connection()
    client.increment_flow_control_window(10_000_000)

    def ask(stream, size):
        head = {":method": "GET", ":scheme": "https", ":authority": "example.org", ":path": f"/bytes?size={size}"}
        client.send_headers(stream, list(head.items()), end_stream=True)

    ask(1, 1_000_000)
    ask(3, 1_000_000)
    got, ended = {1: b"", 3: b""}, set()
    while 3 not in ended:
        writer.write(client.data_to_send())
        for event in client.receive_data(await reader.read(65536)):
            if isinstance(event, h2.events.DataReceived):
                got[event.stream_id] += event.data
                if event.stream_id == 3 and event.flow_controlled_length:
                    client.acknowledge_received_data(event.flow_controlled_length, 3)
            if isinstance(event, h2.events.StreamEnded):
                ended.add(event.stream_id)
    assert got[3] == whole(Stream(1_000_000))
    assert len(got[1]) == origin.seen[0].sent == 65535
    client.reset_stream(1)
    writer.write(client.data_to_send())
    assert await until(lambda: origin.seen[0].aborted is not None)
    writer.close()


async def test_a_small_send_buffer_shows_how_far_a_client_reads_ahead():
    async with Origin(["example.org"], send_buffer=16 * 1024) as origin:
        tls = ssl.create_default_context(cafile=origin.ca_pem)
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", origin.port, ssl=tls, server_hostname="example.org", limit=1024
        )
        writer.write(b"GET /bytes?size=50000000 HTTP/1.1\r\nhost: example.org\r\n\r\n")
        await reader.readline()
        await asyncio.sleep(0.5)
        assert 0 < origin.seen[0].sent < 12_000_000  # the client's kernel may still take some megabytes
        writer.transport.abort()
        assert await until(lambda: origin.seen[0].aborted is not None)


async def test_events_are_sent_one_by_one(origin, curl, version):
    got = await curl(origin, "/events?count=3&every=0.01", version, "-D-")
    assert b"text/event-stream" in got.out
    assert got.out.endswith(b"data: 0\n\ndata: 1\n\ndata: 2\n\n")


async def test_a_websocket_says_back_what_it_is_told(origin):
    reader, writer = await asyncio.open_connection("127.0.0.1", origin.plain_port)
    client = WSConnection(ConnectionType.CLIENT)
    writer.write(client.send(Request(host="example.org", target="/socket")))
    seen = []
    while not seen or not isinstance(seen[-1], CloseConnection):
        client.receive_data(await reader.read(65536) or None)
        for event in client.events():
            seen.append(event)
            match event:
                case AcceptConnection():
                    writer.write(client.send(TextMessage("good day")))
                case TextMessage():
                    writer.write(client.send(CloseConnection(1000)))
    writer.close()
    assert [event.data for event in seen if isinstance(event, TextMessage)] == ["good day"]


async def test_what_is_not_there_and_what_makes_no_sense_is_said(origin, curl, version):
    assert (await curl(origin, "/nothing", version, "-o/dev/null", "-w%{http_code}")).out == b"404"
    assert (await curl(origin, "/bytes?size=many", version, "-o/dev/null", "-w%{http_code}")).out == b"400"


async def test_garbage_ends_the_connection_and_nothing_else(origin, curl):
    for garbage in (b"what?\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\5\4\0\0\0\0\0hello"):
        reader, writer = await asyncio.open_connection("127.0.0.1", origin.plain_port)
        writer.write(garbage)
        async with asyncio.timeout(5):
            await reader.read(-1)
        writer.close()
    assert (await curl(origin, "/bytes?size=10")).out == whole(Stream(10))


async def test_an_origin_may_speak_http1_only(curl):
    async with Origin(["example.org"], protocols=["http/1.1"]) as origin:
        got = await curl(origin, "/bytes?size=10", "--http2", "-o/dev/null", "-w%{http_version}")
        assert got.out == b"1.1"


async def test_a_name_that_the_origin_was_not_given_is_not_vouched_for(origin):
    tls = ssl.create_default_context(cafile=origin.ca_pem)
    with pytest.raises(ssl.SSLCertVerificationError, match="not valid for 'other"):
        await asyncio.open_connection("127.0.0.1", origin.port, ssl=tls, server_hostname="other.org")


def test_an_origin_in_a_thread_serves_beside_the_loop(curl):
    with Origin(["example.org"]) as origin:
        got = asyncio.run(curl(origin, "/bytes?size=1000"))
    assert got.out == whole(Stream(1000))
    assert origin.seen[0].sent == 1000
    with pytest.raises(RuntimeError, match="not running"):
        _ = origin.ca_pem


async def test_an_origin_in_a_process_says_where_it_is_and_ends_with_its_input():
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "shaper.lab", "example.org", stdin=-1, stdout=-1
    )
    where = json.loads(await process.stdout.readline())
    reader, writer = await asyncio.open_connection(where["host"], where["plain_port"])
    writer.write(b"GET /bytes?size=10 HTTP/1.1\r\nhost: example.org\r\nconnection: close\r\n\r\n")
    assert (await reader.read(-1)).endswith(whole(Stream(10)))
    writer.close()
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), 20) == 0

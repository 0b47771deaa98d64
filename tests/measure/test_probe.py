"""The client against the lab's origin, directly and through a plain mitmdump: no shaping is in play here."""

import asyncio
import json
import re
import subprocess
import sys
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from time import monotonic

import pytest

from shaper.lab.origin import Origin
from shaper.lab.payload import Stored, Stream, digest, whole
from shaper.lab.site import assets
from shaper.measure.fetched import Appetite
from shaper.measure.line import longest_gap, rate
from shaper.measure.probe import connect, fetch
from shaper.measure.run import Outcome
from shaper.measure.wire import DialError

SIZE = 400_000
EMPTY = sha256(b"").hexdigest()


@pytest.fixture(scope="module")
def origin():
    with Origin(["localhost"], send_buffer=16 * 1024) as origin:
        yield origin


@pytest.fixture(scope="module")
def proxy(origin, tmp_path_factory):
    """A plain mitmdump that asks for credentials; yields its address and its CA."""
    home = tmp_path_factory.mktemp("mitmproxy")
    options = [f"confdir={home}", f"ssl_verify_upstream_trusted_ca={origin.ca_pem}", "proxyauth=ann:secret"]
    command = [Path(sys.executable).with_name("mitmdump"), "--listen-host", "127.0.0.1", "--listen-port", "0"]
    sets = [part for option in options for part in ("--set", option)]
    process = subprocess.Popen([*command, *sets], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if found := re.search(r"listening at [^ ]*?([0-9.]+):([0-9]+)", line):
            break
    yield (found[1], int(found[2])), home / "mitmproxy-ca-cert.pem"
    process.terminate()
    process.communicate()


@pytest.fixture(params=["direct", "proxied"])
def way(request, origin):
    if request.param == "direct":
        return {"address": ("127.0.0.1", origin.port), "ca": origin.ca_pem}
    address, ca = request.getfixturevalue("proxy")
    return {"proxy": address, "ca": ca, "auth": ("ann", "secret")}


@pytest.fixture(params=["h1", "h2"])
def protocol(request):
    return request.param


@pytest.fixture
def straight(origin, protocol):
    return {"address": ("127.0.0.1", origin.port), "ca": origin.ca_pem, "protocol": protocol}


def url(origin, target, scheme="https"):
    return f"{scheme}://localhost:{origin.port if scheme == 'https' else origin.plain_port}{target}"


async def until(true, seconds=5.0):
    end = monotonic() + seconds
    while not true() and monotonic() < end:  # noqa: ASYNC110, what is awaited lives in the origin
        await asyncio.sleep(0.01)
    return true()


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_a_body_comes_whole_however_it_is_framed(origin, way, protocol, framing):
    target = f"/bytes?size={SIZE}&framing={framing}&type=image/png"
    got = await fetch(url(origin, target), protocol=protocol, **way)
    assert (got.outcome, got.error, got.status, got.protocol) == (Outcome.COMPLETE, "", 200, protocol)
    assert (got.size, got.sha256) == (SIZE, digest(Stream(SIZE)))
    assert got.headers["content-type"] == "image/png"
    assert got.url == url(origin, target)


async def test_the_reads_add_up_and_time_does_not_run_back(origin, way, protocol):
    got = await fetch(url(origin, f"/bytes?size={SIZE}&rate=8%20Mbit/s"), protocol=protocol, **way)
    assert sum(read.num_bytes for read in got.reads) == SIZE
    assert all(read.t0 <= read.t for read in got.reads)
    assert all(before.t <= after.t0 and before.t < after.t for before, after in pairwise(got.reads))
    assert got.handshake > 0
    assert 0 < got.answered <= got.ttfb == got.reads[0].t <= got.reads[-1].t <= got.duration


async def test_a_rate_is_seen_as_it_is_sent(origin, straight):
    got = await fetch(url(origin, "/bytes?size=50000&rate=500%20kbit/s"), **straight)
    assert 100_000 < rate(got.line) < 550_000
    assert got.duration > 0.7


async def test_a_wait_before_the_headers_is_in_the_time_to_them(origin, straight):
    got = await fetch(url(origin, "/bytes?size=10&delay=0.3"), **straight)
    assert 0.3 <= got.answered < got.duration + 1e-9


async def test_plain_http_goes_through_a_proxy_without_a_tunnel(origin, proxy):
    got = await fetch(url(origin, f"/bytes?size={SIZE}", "http"), proxy=proxy[0], auth=("ann", "secret"))
    assert (got.status, got.sha256, got.headers["content-length"]) == (200, digest(Stream(SIZE)), str(SIZE))
    assert origin.seen[-1].request.target == f"/bytes?size={SIZE}"


async def test_a_proxy_that_refuses_is_an_error_and_no_exception(origin, proxy, protocol):
    address, ca = proxy
    got = await fetch(url(origin, "/"), proxy=address, ca=ca, protocol=protocol, auth=("ann", "wrong"))
    assert (got.outcome, got.error) == (Outcome.ERROR, "no connection: the proxy answered 407 to CONNECT")
    plain = await fetch(url(origin, "/", "http"), proxy=address)
    assert (plain.outcome, plain.status) == (Outcome.COMPLETE, 407)


async def test_what_a_network_may_do_is_an_error_and_no_exception(origin, straight):
    taken = {**straight, "address": ("127.0.0.1", 1)}
    assert "no connection" in (await fetch(url(origin, "/"), **taken)).error
    untrusted = {**straight, "ca": None}
    assert "certificate verify failed" in (await fetch(url(origin, "/"), **untrusted)).error
    async with Origin(["localhost"], protocols=["http/1.1"]) as old:
        got = await fetch(url(old, "/"), protocol="h2", ca=old.ca_pem)
        assert (got.outcome, got.error) == (Outcome.ERROR, "no connection: h2 was not agreed on")
        with pytest.raises(DialError):
            await connect(url(old, "/"), protocol="h2", ca=old.ca_pem)


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_body_that_breaks_off_is_an_error_with_what_came(origin, straight, framing):
    target = f"/bytes?size={SIZE}&abort_after=100001&framing={framing}&rate=8%20Mbit/s"
    got = await fetch(url(origin, target), **straight)
    assert (got.outcome, got.status) == (Outcome.ERROR, 200)
    assert got.error
    assert 0 < got.size <= 100_001
    assert got.sha256 == sha256(whole(Stream(SIZE))[: got.size]).hexdigest()


async def test_a_timeout_is_censored_and_the_origin_learns_of_it(origin, straight):
    async with await connect(url(origin, "/"), **straight) as session:
        got = await session.request(f"/bytes?size={SIZE}&stall_after=1000", timeout=1.5)
    assert (got.outcome, got.error, got.size) == (Outcome.TIMEOUT, "not complete after 1.5 s", 1000)
    assert 1.5 <= got.duration < 5
    assert got.sha256 == sha256(whole(Stream(1000))).hexdigest()
    assert await until(lambda: origin.seen[-1].aborted is not None)


async def test_a_handshake_that_takes_too_long_is_a_timeout(protocol):
    async def listen(reader, writer):
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(listen, "127.0.0.1", 0)
    address = silent.sockets[0].getsockname()
    for way in ({"address": address}, {"proxy": address}):
        got = await fetch("https://example.org/", timeout=0.2, protocol=protocol, **way)
        assert (got.outcome, got.handshake, got.ttfb) == (Outcome.TIMEOUT, None, None)
    silent.close()


@pytest.mark.parametrize("method", ["HEAD", "GET"])
async def test_a_response_without_a_body_ends_at_once(origin, way, protocol, method):
    target = "/bytes?size=100" if method == "HEAD" else "/bytes?size=100&status=204"
    got = await fetch(url(origin, target), method=method, protocol=protocol, **way)
    assert (got.outcome, got.size, got.sha256, got.reads) == (Outcome.COMPLETE, 0, EMPTY, ())
    assert got.ttfb == got.duration


async def test_headers_go_up(origin, way, protocol):
    await fetch(url(origin, "/bytes?size=1&tag=up"), protocol=protocol, headers=[("x-lab", "yes")], **way)
    assert origin.exchange(tag="up").request.header("x-lab") == "yes"


async def test_trailers_come_down(origin, straight):
    got = await fetch(url(origin, "/bytes?size=100&framing=chunked&trailers=1"), **straight)
    assert got.trailers["content-digest"].startswith("sha-256=:")


async def test_a_body_is_hashed_as_it_was_sent(origin, way, protocol):
    got = await fetch(url(origin, "/photos/leaves.svg?encoding=gzip"), protocol=protocol, **way)
    assert got.headers["content-encoding"] == "gzip"
    assert got.size == int(got.headers["content-length"]) < assets()["/photos/leaves.svg"].size


async def test_an_upload_arrives_whole(origin, way, protocol):
    body = whole(Stream(3_000_000))
    got = await fetch(url(origin, "/upload"), method="POST", body=body, protocol=protocol, **way)
    told = json.dumps({"size": len(body), "sha256": sha256(body).hexdigest()}).encode()
    assert got.sha256 == digest(Stored(told))


async def test_a_session_shakes_hands_once(origin, way, protocol):
    async with await connect(url(origin, "/"), protocol=protocol, **way) as session:
        got = [await session.request(f"/bytes?size={size}&tag=once") for size in (10, 20, 30)]
        together = await asyncio.gather(*(session.request(f"/bytes?size={size}&tag=once") for size in (40, 50)))
    assert [each.sha256 for each in got] == [digest(Stream(size)) for size in (10, 20, 30)]
    assert [each.sha256 for each in together] == [digest(Stream(size)) for size in (40, 50)]
    assert [each.handshake is None for each in (*got, *together)] == [False, True, True, True, True]
    seen = [each.request.connection for each in origin.seen if each.request.query.get("tag") == "once"]
    assert len(set(seen[-5:])) == 1


async def test_a_closed_connection_is_said_to_be_closed(origin, straight):
    session = await connect(url(origin, "/"), **straight)
    await session.request("/bytes?size=1")
    await session.close()
    got = await session.request("/bytes?size=1")
    assert (got.outcome, got.error) == (Outcome.ERROR, "the connection is closed")


async def test_text_overtakes_a_slow_video_on_the_same_connection(origin):
    way = {"address": ("127.0.0.1", origin.port), "ca": origin.ca_pem, "protocol": "h2"}
    async with await connect(url(origin, "/"), **way) as session:
        video = asyncio.create_task(session.request("/video/train.mp4?rate=400%20kbit/s"))
        await asyncio.sleep(0.1)
        pages = [await session.request("/") for _ in range(3)]
        assert not video.done()
        slow = await video
    assert {page.sha256 for page in pages} == {digest(assets()["/index.html"])}
    assert slow.sha256 == digest(assets()["/video/train.mp4"])


async def test_a_stalled_stream_opens_its_window_no_more_and_holds_back_no_other(origin):
    way = {"address": ("127.0.0.1", origin.port), "ca": origin.ca_pem, "protocol": "h2", "window": 65_535}
    async with await connect(url(origin, "/"), **way) as session:
        stalled = Appetite(stall_after=10_000)
        left = asyncio.create_task(session.request("/bytes?size=50000000&tag=stalled", appetite=stalled, timeout=1.5))
        beside = await session.request(f"/bytes?size={SIZE}")
        got = await left
    assert beside.sha256 == digest(Stream(SIZE))
    assert got.outcome is Outcome.TIMEOUT
    assert 10_000 <= got.size <= 10_000 + 2 * 65_535
    assert origin.exchange(tag="stalled").sent <= 10_000 + 2 * 65_535


async def test_a_stalled_h1_client_reads_no_more(origin):
    way = {"address": ("127.0.0.1", origin.port), "ca": origin.ca_pem, "receive_buffer": 16 * 1024}
    async with await connect(url(origin, "/"), protocol="h1", **way) as session:
        stalled = Appetite(stall_after=10_000)
        got = await session.request("/bytes?size=50000000&tag=still", appetite=stalled, timeout=1.5)
    assert got.outcome is Outcome.TIMEOUT
    assert 10_000 <= got.size < 1_000_000
    assert origin.exchange(tag="still").sent < 5_000_000


async def test_a_stall_of_some_seconds_is_a_gap_and_nothing_is_missing(origin, straight):
    appetite = Appetite(stall_after=100_000, stall=1.0)
    got = await fetch(url(origin, "/bytes?size=3000000"), appetite=appetite, **straight)
    assert got.sha256 == digest(Stream(3_000_000))
    assert got.duration > 1.0
    assert longest_gap(got.line) > 0.2  # what was under way when the stall began may still have come


async def test_whoever_watches_is_told_of_every_read(origin, straight):
    told = []
    got = await fetch(url(origin, f"/bytes?size={SIZE}"), watch=lambda *read: told.append(read), **straight)
    assert sum(size for size, _ in told) == got.size == SIZE
    assert [at for _, at in told] == sorted(at for _, at in told)


async def test_a_client_that_leaves_lets_the_origin_know(origin, straight):
    async with await connect(url(origin, "/"), **straight) as session:
        got = await session.request("/bytes?size=50000000&tag=left", appetite=Appetite(leave_after=100_000))
        assert got.outcome is Outcome.ERROR
        assert got.error.startswith("left after")
        assert await until(lambda: origin.exchange(tag="left").aborted is not None)
        if straight["protocol"] == "h2":
            assert (await session.request("/bytes?size=10")).sha256 == digest(Stream(10))

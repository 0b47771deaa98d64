"""The browser probe: real Chromium through a real proxy, on a page made for it."""

import asyncio
import ssl
from contextlib import asynccontextmanager

import pytest

pytest.importorskip("playwright", reason="pip install 'shaper[browser]'")

from shaper.cli.browse import public_key_hash, shown_key
from shaper.cli.proxy_process import ProxyProcess
from shaper.lab.origin import Origin
from shaper.lab.site import players, serve
from shaper.measure.chromium import browser, visit
from shaper.measure.run import Outcome
from shaper.record.journal import parse

HOST = "pages.test"
POLICY = """
version: 1
study: chromium
server_timing: true
targets: {pages: {hosts: [pages.test]}}
rules: [{name: slow, target: pages, media: [image], caps: [{rate: 400 kbit/s, burst: 2 KiB}]}]
"""
PAGE = """<!doctype html><html lang="en"><title>Two pictures</title><link rel="icon" href="data:,">
<img src="/photos/leaves.svg" alt="leaves"><img src="/photos/contours.png?MORE" alt="contours">
"""


async def site(exchange):
    """The lab's site, with a page whose second picture falls silent when the query says so."""
    if exchange.request.path != "/two.html":
        await serve(exchange)
        return
    page = PAGE.replace("MORE", "stall_after=5000" if exchange.request.query else "").encode()
    await exchange.start(200, [("content-type", "text/html"), ("content-length", str(len(page)))])
    await exchange.send(page)
    await exchange.end()


@asynccontextmanager
async def lab(tmp_path):
    """A proxy, and Chromium that trusts it."""
    policy, journal = tmp_path / "policy.yaml", tmp_path / "journal.jsonl"
    policy.write_text(POLICY)
    async with Origin([HOST], site=site) as origin:
        arguments = [
            f"--connect-to={HOST}:443:127.0.0.1:{origin.port}", f"--origin-ca={origin.ca_pem}",
            f"--ca-dir={tmp_path / 'ca'}", f"--journal={journal}",
        ]  # fmt: skip
        async with ProxyProcess(policy, arguments) as proxy:
            key = await shown_key(HOST, proxy.address, proxy.ca_pem)
            async with browser([key], {}) as chromium, visit(chromium, proxy.address) as load:
                yield load
    tmp_path.joinpath("records").write_bytes(journal.read_bytes())


@pytest.fixture(autouse=True)
def chromium(needs):
    needs("chromium", "apt-get install chromium")


async def test_a_page_tells_what_it_waited_for(tmp_path):
    async with lab(tmp_path) as load:
        loaded = await load(f"https://{HOST}/two.html", 60.0)
        gone = await load("https://absent.invalid/", 5.0)
    seen = loaded.browser
    assert (loaded.outcome, loaded.error) == (Outcome.COMPLETE, "")
    assert seen.images == 2
    assert set(seen.images_complete) == {"5", "10", "30"}
    assert seen.images_complete["30"] == 1.0
    assert 0 < seen.interactive < seen.load <= loaded.duration
    assert seen.lcp > 0
    assert (seen.video_join, seen.rebuffer, seen.switches) == (None, None, None)
    parts = {each.name: each for each in seen.resources}
    assert set(parts) == {"two.html", "leaves.svg", "contours.png"}
    assert {each.protocol for each in parts.values()} == {"h2"}
    assert {name: part.media for name, part in parts.items()} == {
        "two.html": "other", "leaves.svg": "image", "contours.png": "image",
    }  # fmt: skip
    leaves, contours = parts["leaves.svg"], parts["contours.png"]
    assert (leaves.size, contours.size) == (17_557, 25_869)
    assert contours.end - contours.start > 0.4  # 24 kB at 50 kB/s
    told = {entry.name: entry for entry in contours.server_timing}
    assert told["shaper"].description == "slow 400 kbit/s"
    assert 0 <= told["origin"].duration < contours.response - contours.start + 0.5
    _, error = gone.outcome, gone.error
    assert gone.outcome is Outcome.ERROR
    assert "ERR_" in error
    assert gone.duration > 0


async def test_the_proxys_ledger_sums_to_the_browsers_own_time(tmp_path):
    """The bound is wide, for a busy machine delays the one or the other; bench/clocks.py holds it to milliseconds."""
    async with lab(tmp_path) as load:
        loaded = await load(f"https://{HOST}/two.html", 60.0)
    parts = {each.size: each for each in loaded.browser.resources}
    records = [parse(line) for line in (tmp_path / "records").read_bytes().splitlines()]
    pictures = [record for record in records if record.media == "image"]
    assert sorted(record.size for record in pictures) == [17_557, 25_869]
    for record in pictures:
        part = parts[record.size]
        assert sum(seconds for _, seconds in record.waits()) == pytest.approx(record.duration)
        assert record.duration == pytest.approx(part.end - part.start, abs=1.0)
        assert record.held > 0.2


async def test_a_page_that_never_completes_is_watched_to_the_end_and_kept(tmp_path):
    async with lab(tmp_path) as load:
        loaded = await asyncio.wait_for(load(f"https://{HOST}/two.html?stalled", 6.0), 60)
    seen = loaded.browser
    assert (loaded.outcome, loaded.error) == (Outcome.TIMEOUT, "not complete after 6 s")
    assert loaded.duration >= 5.5
    assert seen.images == 2
    assert set(seen.images_complete) == {"5"}  # later ones were not seen
    assert seen.images_complete["5"] <= 0.5
    assert seen.load is None


@pytest.mark.parametrize("player", ["hls", "dash"])
async def test_a_video_tells_when_it_joined_and_whether_it_stood_still(player):
    """With the player if `make players` has brought it, else as the page plays it by itself. No proxy."""
    with Origin([HOST]) as origin:
        key = public_key_hash(ssl.get_server_certificate(("127.0.0.1", origin.port)))
        addresses = {f"{HOST}:443": f"127.0.0.1:{origin.port}"}
        async with browser([key], addresses) as chromium, visit(chromium, None) as load:
            loaded = await load(f"https://{HOST}/{player}.html", 90.0)
    seen = loaded.browser
    assert (loaded.outcome, loaded.error) == (Outcome.COMPLETE, "")
    assert loaded.duration > 7.5  # the video's length
    assert 0 < seen.video_join < loaded.duration - 7
    assert seen.rebuffer >= 0
    assert seen.switches >= 0
    videos = [each for each in seen.resources if each.media == "video"]
    assert len(videos) >= 5  # a beginning and four segments, of one rendition or of several
    fetched = next(each for each in seen.resources if each.name == f"{player}.js")
    assert (fetched.size > 50_000) == (f"/players/{player}.js" in players())

"""Chromium loads the lab's page through the proxy: its pictures come slowly and right to the byte, the rest at once."""

import asyncio
from hashlib import sha256

import pytest

from shaper.lab.site import ASSETS
from tests.e2e.conftest import policy

pytestmark = pytest.mark.asyncio(loop_scope="module")

HASH = """async path => {
    const hash = await crypto.subtle.digest('SHA-256', await (await fetch(path)).arrayBuffer());
    return Array.from(new Uint8Array(hash), byte => byte.toString(16).padStart(2, '0')).join('');
}"""
PHOTOS = ["photos/dawn.jpg", "photos/contours.png", "photos/leaves.svg", "photos/winter.webp"]


async def test_chromium_shows_a_page_whose_pictures_are_slowed(lab, needs):
    chromium = needs("chromium", "apt-get install chromium")
    playwright = pytest.importorskip("playwright.async_api", reason="pip install 'shaper[browser]'")
    host, port = lab.proxy.address
    flags = ["--no-sandbox", "--ignore-certificate-errors", f"--proxy-server=http://{host}:{port}"]
    already = len(lab.records)
    with lab.using(policy("4 Mbit/s")):
        async with playwright.async_playwright() as driver:
            browser = await driver.chromium.launch(executable_path=chromium, args=flags)
            page = await browser.new_page()
            await page.goto(lab.url("/"), wait_until="commit")
            await page.locator("figcaption output").nth(5).wait_for(timeout=60_000)  # of the last of 6 pictures
            hashes = await asyncio.gather(*(page.evaluate(HASH, f"/{path}") for path in PHOTOS))
            assert await page.evaluate("[...document.images].every(image => image.naturalWidth >= 800)")
            await browser.close()
    assert hashes == [sha256((ASSETS / path).read_bytes()).hexdigest() for path in PHOTOS]
    assert await lab.settled()
    records = [record for record in lab.records[already:] if record.outcome == "complete"]
    assert {record.client_protocol for record in records} == {"h2"}
    slowed = [record for record in records if record.media == "image"]
    assert len(slowed) >= len(PHOTOS)
    assert min(record.held for record in slowed if record.size > 40_000) > 0.05
    assert max(record.held for record in records if record.media == "other") == 0

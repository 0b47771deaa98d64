"""Browsers load the lab's page through the proxy: its pictures come slowly and right to the byte, the rest at once."""

import asyncio
from hashlib import sha256

import pytest

from shaper.lab.site import ASSETS
from tests.e2e.conftest import policy
from tests.onboarding.site.marionette import Firefox

pytestmark = pytest.mark.asyncio(loop_scope="module")

HASH = """async path => {
    const hash = await crypto.subtle.digest('SHA-256', await (await fetch(path)).arrayBuffer());
    return Array.from(new Uint8Array(hash), byte => byte.toString(16).padStart(2, '0')).join('');
}"""
PHOTOS = ["photos/dawn.jpg", "photos/contours.png", "photos/leaves.svg", "photos/winter.webp"]


FIREFOX_TRUST = """
const database = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB);
database.addCertFromBase64(arguments[0], "C,,");
"""


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
    await pictures_were_slowed(lab, already, hashes)


async def test_firefox_does_too(lab, needs, tmp_path):
    program = needs("firefox-esr", "apt-get install firefox-esr")
    host, port = lab.proxy.address
    proxy = {"network.proxy.type": 1, "network.proxy.ssl": host, "network.proxy.ssl_port": port}
    body, already = "".join(lab.proxy.ca_pem.read_text().splitlines()[1:-1]), len(lab.records)

    def visit():
        with Firefox(program, tmp_path / "profile", proxy) as browser:
            browser.run_privileged(FIREFOX_TRUST, body)
            browser.go(lab.url("/"))
            browser.wait("document.querySelectorAll('figcaption output').length >= 6", 60)
            browser.wait("[...document.images].every(image => image.naturalWidth >= 800)", 60)
            return [browser.run(f"return ({HASH})(arguments[0])", f"/{path}") for path in PHOTOS]

    with lab.using(policy("4 Mbit/s")):
        hashes = await asyncio.to_thread(visit)
    await pictures_were_slowed(lab, already, hashes)


async def pictures_were_slowed(lab, already, hashes):
    assert hashes == [sha256((ASSETS / path).read_bytes()).hexdigest() for path in PHOTOS]
    assert await lab.settled()
    records = [record for record in lab.records[already:] if record.outcome == "complete"]
    assert {record.client_protocol for record in records} == {"h2"}
    slowed = [record for record in records if record.media == "image"]
    assert len(slowed) >= len(PHOTOS)
    assert min(record.held for record in slowed if record.size > 40_000) > 0.05
    assert max(record.held for record in records if record.media == "other") == 0

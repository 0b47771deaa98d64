"""The demo page in a real browser, straight from the origin."""

import pytest

from shaper.lab.origin import Origin

MARKS = {"text-ready", "pictures-complete", "file-playing", "playlist-playing"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_page_shows_all_of_itself_and_asks_nobody_else(needs, scheme):
    chromium = needs("chromium", "apt-get install chromium")
    playwright = pytest.importorskip("playwright.async_api", reason="pip install 'shaper[browser]'")
    async with Origin(["localhost"]) as origin, playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = await browser.new_page(ignore_https_errors=True, color_scheme=scheme)
        asked, wrong = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        await page.goto(f"https://localhost:{origin.port}/")
        await page.locator("figcaption output").nth(7).wait_for(timeout=60_000)  # the last of 6 pictures and 2 videos
        assert set(await page.evaluate("performance.getEntriesByType('mark').map(mark => mark.name)")) == MARKS
        assert await page.evaluate("[...document.images].every(image => image.naturalWidth >= 800)")
        assert await page.evaluate("[...document.querySelectorAll('video')].every(video => !video.error)")
        assert await page.locator("#facts dd").count() == 4
        assert {url.split("/")[2] for url in asked if url.startswith("http")} == {f"localhost:{origin.port}"}
        assert wrong == []
        await browser.close()

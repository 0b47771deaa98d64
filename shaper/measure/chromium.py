"""The browser probe: one page load in real Chromium, with what the page itself can tell of it.

Through Playwright with the system's browser. Every load has a context of its own, so the cache is cold unless the plan
says warm; then the page is loaded once before, unmeasured. All times are seconds since navigation began.
"""

import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import Browser as Chromium
from playwright.async_api import Error, Page, async_playwright
from playwright.async_api import TimeoutError as PlaywrightTimeoutError

from shaper.measure.run import Browser, Outcome, Resource

SCRIPT = Path(__file__).with_name("chromium.js")
CHECKPOINTS = (5, 10, 30)  # seconds at which the share of complete images is told
MEDIA = {"img": "image", "image": "image", "video": "video", "audio": "audio"}
ARGUMENTS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--autoplay-policy=no-user-gesture-required",
)  # fmt: skip


class NoBrowserError(Exception):
    """There is no Chromium on this machine."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """One page load."""

    outcome: Outcome
    error: str
    duration: float
    browser: Browser


@asynccontextmanager
async def browser(keys: Sequence[str], hosts: Mapping[str, str]) -> AsyncIterator[Chromium]:
    """Start Chromium.

    It trusts whoever shows one of `keys`, SHA-256 of public keys in Base64; without a proxy it finds `hosts` at the
    addresses given.
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        raise NoBrowserError("chromium is not installed: apt-get install chromium")
    rules = ",".join(f"MAP {host} {address}" for host, address in hosts.items())
    arguments = [
        *ARGUMENTS,
        f"--ignore-certificate-errors-spki-list={','.join(keys)}",
        f"--host-resolver-rules={rules}",
    ]
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=program, args=arguments)
        try:
            yield chromium
        finally:
            await chromium.close()


async def load(
    chromium: Chromium, url: str, *, proxy: tuple[str, int] | None, patience: float, warm: bool = False
) -> Loaded:
    """Load a page until all of its images and videos are there, or for `patience` seconds."""
    settings: Any = {"server": f"http://{proxy[0]}:{proxy[1]}", "bypass": ""} if proxy else None
    context = await chromium.new_context(proxy=settings, bypass_csp=True)  # the page may forbid our questions
    try:
        if warm:
            page = await context.new_page()
            await page.goto(url, wait_until="load", timeout=patience * 1000)
            await page.close()
        page = await context.new_page()
        await page.add_init_script(path=SCRIPT)
        return await _load(page, url, patience)
    except Error as error:
        return Loaded(Outcome.ERROR, error.message.splitlines()[0], 0.0, Browser())
    finally:
        await context.close()


async def _load(page: Page, url: str, patience: float) -> Loaded:
    outcome, problem = Outcome.COMPLETE, ""
    try:
        await page.goto(url, wait_until="commit", timeout=patience * 1000)
        await page.wait_for_function("shaperIsDone()", timeout=patience * 1000, polling=100)
    except PlaywrightTimeoutError:
        outcome, problem = Outcome.TIMEOUT, f"not complete after {patience:g} s"
    raw = await page.evaluate("shaperSees()")
    return Loaded(outcome, problem, raw["now"], _seen(raw))


def _seen(raw: Mapping[str, Any]) -> Browser:
    """Return what the page told, in our terms. Names of resources are their last path segment, without a query."""
    resources = tuple(
        Resource(
            name=each["name"], media=MEDIA.get(each["kind"], "other"), start=each["start"], response=each["response"],
            end=each["end"], size=each["size"], protocol={"http/1.1": "h1"}.get(each["protocol"], each["protocol"]),
        )
        for each in raw["resources"]
    )  # fmt: skip
    ends = [end for end in raw["images"] if end is not None]
    count = len(raw["images"])
    shares = {str(after): sum(end <= after for end in ends) / count for after in CHECKPOINTS} if count else None
    return Browser(
        load=raw["load"],
        interactive=raw["interactive"],
        lcp=raw["lcp"],
        images=count,
        images_complete=shares,
        video_join=raw["join"],
        rebuffer=raw["rebuffer"],
        switches=raw["switches"],
        resources=resources,
    )

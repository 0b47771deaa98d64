"""The browser probe: page loads in real Chromium, with what the page itself can tell of them.

Through Playwright with the system's browser. Every visit has a context of its own, so its cache is cold at first. All
times are seconds since navigation began.
"""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from playwright.async_api import Browser as Chromium
from playwright.async_api import Error, Page, async_playwright
from playwright.async_api import TimeoutError as PlaywrightTimeoutError

from shaper.measure.run import Browser, Outcome, Resource, RunError, ServerTiming

SCRIPT = Path(__file__).with_name("chromium.js")
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
CHECKPOINTS = (5, 10, 30)  # seconds at which the share of complete images is told
MEDIA = {"img": "image", "image": "image", "video": "video", "audio": "audio"}
PROTOCOLS = {"http/1.1": "h1"}
ARGUMENTS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--autoplay-policy=no-user-gesture-required",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Loaded:
    """One page load."""

    outcome: Outcome
    error: str
    duration: float
    browser: Browser


type Load = Callable[[str, float], Awaitable[Loaded]]


@asynccontextmanager
async def browser(keys: Iterable[str], addresses: Mapping[str, str]) -> AsyncIterator[Chromium]:
    """Start Chromium.

    It trusts whoever shows one of `keys`, SHA-256 of public keys in Base64; without a proxy it finds hosts (with their
    port) at the addresses given.
    """
    rules = ",".join(f"MAP {host} {address}" for host, address in addresses.items())
    arguments = [
        *ARGUMENTS,
        f"--ignore-certificate-errors-spki-list={','.join(sorted(keys))}",
        f"--host-resolver-rules={rules}",
    ]
    async with async_playwright() as playwright:
        # Signals are for whoever measures: a browser that dies of them would spoil the sample under way.
        chromium = await playwright.chromium.launch(
            executable_path=_program(),
            args=arguments,
            env={name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
            handle_sigint=False,
            handle_sigterm=False,
            handle_sighup=False,
        )
        try:
            yield chromium
        finally:
            await chromium.close()


def version() -> str:
    """Return which Chromium it is."""
    said = subprocess.run([_program(), "--version"], capture_output=True, text=True, check=True, timeout=60)  # noqa: S603
    return said.stdout.strip()


def _program() -> str:
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        raise RunError("chromium is not installed: apt-get install chromium")
    return program


@asynccontextmanager
async def visit(chromium: Chromium, proxy: tuple[str, int] | None) -> AsyncIterator[Load]:
    """Give what loads a URL until all of its images and videos are there, or for so many seconds at most.

    The loads of one visit share a cache.
    """
    settings: Any = {"server": f"http://{proxy[0]}:{proxy[1]}", "bypass": ""} if proxy else None
    context = await chromium.new_context(proxy=settings, bypass_csp=True)  # the page may forbid our questions
    await context.add_init_script(path=SCRIPT)

    async def load(url: str, patience: float) -> Loaded:
        page, begun = await context.new_page(), monotonic()
        try:
            return await _load(page, url, patience)
        except Error as error:
            return Loaded(Outcome.ERROR, error.message.splitlines()[0], monotonic() - begun, Browser())
        finally:
            await page.close()

    try:
        yield load
    finally:
        await context.close()


async def _load(page: Page, url: str, patience: float) -> Loaded:
    begun, late = monotonic(), f"not complete after {patience:g} s"
    try:
        await page.goto(url, wait_until="commit", timeout=patience * 1000)
    except PlaywrightTimeoutError:
        return Loaded(Outcome.TIMEOUT, late, monotonic() - begun, Browser())
    outcome, problem = Outcome.COMPLETE, ""
    try:
        left = max(0.001, begun + patience - monotonic())
        await page.wait_for_function("shaperIsDone()", timeout=left * 1000, polling=100)
    except PlaywrightTimeoutError:
        outcome, problem = Outcome.TIMEOUT, late
    raw = await page.evaluate("shaperSees()")
    return Loaded(outcome, problem, raw["now"], _seen(raw, patience if problem else None))


def _seen(raw: Mapping[str, Any], watched: float | None) -> Browser:
    """Return what the page told, in our terms. `watched` is how long, if it was not complete then."""
    ends = [end for end in raw["images"] if end is not None]
    count = len(raw["images"])
    known = [after for after in CHECKPOINTS if watched is None or after <= watched]
    return Browser(
        load=raw["load"],
        interactive=raw["interactive"],
        lcp=raw["lcp"],
        images=count,
        images_complete={str(after): sum(end <= after for end in ends) / count for after in known} if count else None,
        video_join=raw["join"],
        rebuffer=raw["rebuffer"],
        switches=raw["switches"],
        resources=tuple(map(_resource, raw["resources"])),
    )


def _resource(raw: Mapping[str, Any]) -> Resource:
    """Return one resource, named by its last path segment, without a query."""
    return Resource(
        name=raw["name"],
        media=MEDIA.get(raw["kind"], "other"),
        start=raw["start"],
        response=raw["response"],
        end=raw["end"],
        size=raw["size"],
        protocol=PROTOCOLS.get(raw["protocol"], raw["protocol"]),
        server_timing=tuple(ServerTiming(**entry) for entry in raw["timing"]),
    )

"""The page as people meet it: in a browser, in light and dark, with a keyboard, on a phone and on paper."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright
from synthetic_run import make_run

from shaper.report.report import report


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    run = make_run(tmp_path_factory.mktemp("reading") / "run", blocks=8)
    report([run], run / "report")
    return (run / "report" / "report.html").as_uri()


@pytest.fixture(scope="module")
def browser(needs):
    path = needs("chromium", "apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_wrong(browser, url, scheme):
    page = browser.new_page(color_scheme=scheme)
    page.goto(url)
    violations = Axe().run(page).response["violations"]
    assert [(one["id"], [node["html"][:80] for node in one["nodes"]]) for one in violations] == []
    page.close()


def test_it_turns_dark_with_its_pictures(browser, url):
    seen = {}
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto(url)
        seen[scheme] = page.evaluate(
            """() => [document.body, document.querySelector('svg text'), document.querySelector('svg path')]
                .map(it => getComputedStyle(it)).flatMap(it => [it.backgroundColor, it.color, it.fill])"""
        )
        page.close()
    assert seen["light"][0] != seen["dark"][0]
    assert seen["light"][5] != seen["dark"][5]
    assert seen["light"][8] != seen["dark"][8]


def test_the_keyboard_reaches_the_findings_first_and_every_table(browser, url):
    page = browser.new_page()
    page.goto(url)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.getAttribute('aria-labelledby')"))
    tables = "[...document.querySelectorAll('details[open] [role=region]')]"
    wanted = set(page.evaluate(f"{tables}.map(it => it.getAttribute('aria-labelledby'))"))
    assert wanted
    assert wanted <= reached
    page.close()


def test_a_phone_scrolls_no_page_sideways(browser, url):
    page = browser.new_page(viewport={"width": 360, "height": 740})
    page.goto(url)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.close()


def test_it_prints_with_every_table_open_and_in_light(browser, url):
    page = browser.new_page(color_scheme="dark")
    page.goto(url)
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--paper')").strip() == "#fefefe"
    heights = page.evaluate(
        "[...document.querySelectorAll('details table')].map(it => it.getBoundingClientRect().height)"
    )
    assert len(heights) >= 6
    assert min(heights) > 20
    assert len(page.pdf(format="A4")) > 50_000
    page.close()

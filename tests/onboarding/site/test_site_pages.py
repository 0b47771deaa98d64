"""Every page in a real browser: no accessibility violation, no scrolling sideways, nothing loaded from elsewhere."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from shaper.onboarding.site.server import serve

from .chromium import Chromium
from .conftest import ORIGIN, a_record

RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "rules": {"target-size": {"enabled": True}},
    "resultTypes": ["violations"],
}
STRANGERS = ["/consent", "/declined", "/nowhere", "/stopped", "/deleted"]
SETUPS = ["/setup?browser=firefox&system=linux", "/setup?browser=chrome&system=windows"]
MEMBERS = ["/joined", "/consent", "/setup", *SETUPS, "/test", "/test/loaded?arm=slow"]
MEMBERS += ["/glass", "/delete", "/remove", "/trusted", "/reached/x"]
LOOKS = [("en", "light", 1000), ("ru", "dark", 1000), ("ru", "light", 320)]


@pytest.fixture
def serving(app):
    serving = serve(app)
    yield f"http://127.0.0.1:{serving.port}"
    serving.close()


def faults(browser):
    """Return what is wrong with the page as it stands, in a form that a person can act on."""
    browser.page.wait_for_load_state("load")
    browser.page.evaluate("document.fonts.ready")
    found = Axe().run(browser.page, options=RULES).response["violations"]
    where = browser.page.url.partition("127.0.0.1")[2]
    said = [f"{where}: {one['id']}: {node['html']}: {node['failureSummary']}" for one in found for node in one["nodes"]]
    if browser.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
        said.append(f"{where}: scrolls sideways")
    return said


def agree(browser):
    for name, answer in {"read": "targets", "keep": "figures", "stop": "press"}.items():
        browser.click(f"input[name={name}][value={answer}]")
    browser.click("input[name=adult]")
    browser.click("button[value=yes]")


@pytest.mark.parametrize(("language", "scheme", "width"), LOOKS)
def test_a_page_has_no_fault(serving, roster, tmp_path, needs, shot, language, scheme, width):
    program = needs("chromium", "apt-get install chromium")
    with Chromium(program, tmp_path, size=(width, 800), locale=language, color_scheme=scheme) as browser:
        found = []
        for path in STRANGERS:
            browser.go(serving + path)
            found += faults(browser)
        browser.go(serving + "/consent")
        browser.click("button[value=yes]")  # unanswered: the page explains
        found += faults(browser)
        agree(browser)
        (member,) = roster.members()
        roster.record(a_record(member.pseudonym))
        for path in MEMBERS:
            browser.go(serving + path)
            found += faults(browser)
            shot(browser, f"{path[1:].replace('/', '-').partition('?')[0]}-{language}-{scheme}-{width}")
        assert found == []
        assert browser.page.evaluate("document.documentElement.lang") == language
        here = {"127.0.0.1", "shaper.lab", "check.shaper.lab", ORIGIN}
        assert {url.split("/")[2].partition(":")[0] for url in browser.requested if url.startswith("http")} <= here
        assert [line for line in browser.complaints if "Content Security Policy" in line or "Error" in line] == []


def test_the_keyboard_reaches_everything_and_shows_where_it_is(serving, tmp_path, needs):
    program = needs("chromium", "apt-get install chromium")
    with Chromium(program, tmp_path) as browser:
        browser.go(serving + "/consent")
        reached = []
        for _ in range(10):
            browser.page.keyboard.press("Tab")
            reached.append(
                browser.run(
                    "const it = document.activeElement, box = it.getBoundingClientRect();"
                    "return [it.className || it.name || it.textContent.trim(), box.width > 20 && box.height > 20,"
                    " getComputedStyle(it).outlineStyle]"
                )
            )
        assert reached[0][0] == "skip"
        assert [name for name, visible, outline in reached if not visible or outline != "solid"] == []
        names = [name for name, *_ in reached]
        assert names[-7:] == ["read", "keep", "stop", "access", "adult", "choice", "choice"]
        browser.page.keyboard.press("Enter")  # on the second button: No
        browser.page.wait_for_url("**/declined*")


def test_the_two_answers_weigh_the_same(serving, tmp_path, needs):
    program = needs("chromium", "apt-get install chromium")
    with Chromium(program, tmp_path) as browser:
        browser.go(serving + "/consent")
        style = (
            "const [yes, no] = [...document.querySelectorAll('.equal button')].map(one => {"
            " const style = getComputedStyle(one), box = one.getBoundingClientRect();"
            " return [style.color, style.backgroundColor, style.borderColor, style.borderWidth, style.fontWeight,"
            " style.fontSize, Math.round(box.width), box.height] });"
            "return [yes, no]"
        )
        yes, no = browser.run(style)
        assert yes == no


def test_nothing_on_the_site_moves(serving, tmp_path, needs):
    program = needs("chromium", "apt-get install chromium")
    with Chromium(program, tmp_path) as browser:
        browser.go(serving + "/consent")
        sheet = browser.run("return fetch('/static/site.css').then(answer => answer.text())")
        assert "transition" not in sheet.replace("no transition", "")
        assert "@keyframes" not in sheet
        assert "url(" not in sheet

"""The lab's page: for the token's holder alone, without a script, and usable by everybody."""

import re

import pytest
from remembering_proxy import CONFIGURATION, TEXT, TOKEN, VIDEO, underway

from shaper.onboarding.control.app import make_control
from shaper.onboarding.site.server import serve
from shaper.policy.load import loads

HOST = {"Host": "127.0.0.1:9000"}


@pytest.fixture
def browser(app):
    return app.test_client()


def token_in(page):
    return re.search(r'name="token" value="([^"]+)"', page)[1]


@pytest.fixture
def signed_in(browser):
    """Post a form as the page itself would."""
    form = {"token": token_in(browser.get("/", headers=HOST).text), "given": TOKEN}
    assert browser.post("/enter", data=form, headers=HOST).status_code == 303

    def post(path="/change", **form):
        form = {"token": token_in(browser.get("/", headers=HOST).text)} | form
        return browser.post(path, data=form, headers=HOST, follow_redirects=True)

    return post


def test_a_stranger_sees_only_where_to_sign_in(browser, log):
    page = browser.get("/", headers=HOST).text
    assert "Sign in" in page
    assert "study" not in page.replace('class="study"', "")
    form = {"token": token_in(page), "do": "pause"}
    assert browser.post("/change", data=form, headers=HOST).headers["Location"] == "/"
    assert log.newest(1) == []


def test_a_wrong_token_does_not_let_in_and_is_counted(browser, ask):
    form = {"token": token_in(browser.get("/", headers=HOST).text), "given": "wrong"}
    answer = browser.post("/enter", data=form, headers=HOST)
    assert (answer.status_code, "This is not the token." in answer.text) == (401, True)
    assert ask("GET", "/v1/status").json["refused"] == {"401": 1}


def test_the_cookie_is_kept_from_scripts_and_other_sites_and_opens_the_page_only(browser, signed_in):
    cookie = browser.get_cookie("shaper-control", domain="127.0.0.1")
    assert (cookie.http_only, cookie.same_site) == (True, "Strict")
    assert browser.get("/v1/status", headers=HOST).status_code == 401


def test_a_form_that_is_not_the_pages_own_changes_nothing(browser, signed_in, lab):
    for form in ({"do": "pause"}, {"do": "pause", "token": "guessed"}):
        assert browser.post("/change", data=form, headers=HOST).status_code == 403
    own = {"do": "pause", "token": token_in(browser.get("/", headers=HOST).text)}
    elsewhere = HOST | {"Sec-Fetch-Site": "cross-site"}
    assert browser.post("/change", data=own, headers=elsewhere).status_code == 403
    assert not lab.paused


def test_the_page_shows_and_changes_the_running_proxy(signed_in, browser, lab, log):
    lab.under_way = [underway()]
    page = browser.get("/", headers=HOST).text
    assert lab.current.digest in page
    assert "37.5 kB" in page
    assert "Paused: everything passes unshaped." in signed_in(do="pause").text
    assert lab.paused
    assert "Shaping again." in signed_in(do="resume").text
    signed_in(do="phase", phase="P0")
    assert lab.phase == "P0"
    signed_in(do="phase", phase="")
    assert lab.phase is None
    assert "read again" in signed_in(do="reload").text
    assert [(entry.who, entry.action) for entry in log.newest(9)] == [
        ("page", action) for action in ("reload", "phase", "phase", "resume", "pause")
    ]


def test_a_policy_is_tried_then_applied(signed_in, lab):
    lab.picture()
    tried = signed_in(do="try", text=VIDEO).text
    assert "1 of the latest 1 decisions about targets would differ." in tried
    assert "media: [video]" in tried
    assert lab.current == loads(TEXT, "x")
    assert "The policy is in force." in signed_in(do="apply", text=VIDEO).text
    assert lab.current == loads(VIDEO, "x")


def test_what_is_not_valid_is_said_and_the_text_is_kept_to_be_mended(signed_in, lab):
    answer = signed_in(do="apply", text="<script>nonsense")
    assert answer.status_code == 422
    assert "&lt;script&gt;nonsense</textarea>" in answer.text
    assert "<script>" not in answer.text
    assert lab.current == loads(TEXT, "x")
    assert signed_in(do="no such thing").status_code == 400


def test_leaving_ends_the_session(signed_in, browser):
    signed_in("/leave")
    assert "Sign in" in browser.get("/", headers=HOST).text


def test_the_page_loads_nothing_from_elsewhere(signed_in, browser):
    page = browser.get("/", headers=HOST)
    assert "<script" not in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    for style in re.findall(r'href="(/style/[^"]+)"', page.text):
        answer = browser.get(style, headers=HOST)
        assert (answer.status_code, answer.content_type.split("/")[0]) == (200, "image" if "icon" in style else "text")
    assert browser.get("/style/none", headers=HOST).status_code == 404


def test_the_page_in_chromium_has_no_barrier_and_works_without_scripts(lab, log, roster, needs, tmp_path):
    chromium = needs("chromium", "apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    lab.picture()
    lab.under_way = [underway(), underway(client=None, rate=None)]
    serving = serve(make_control(lab, CONFIGURATION, TOKEN, log, roster=roster))
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        try:
            for scheme, width in (("light", 1280), ("dark", 360)):
                context = browser.new_context(
                    color_scheme=scheme, viewport={"width": width, "height": 800}, bypass_csp=True
                )
                page = context.new_page()
                page.goto(f"http://127.0.0.1:{serving.port}/")
                assert not axe.run(page).response["violations"]
                page.get_by_label("Token").fill(TOKEN)
                page.get_by_role("button", name="Sign in").click()
                page.get_by_label("Policy, in YAML").fill(VIDEO)
                page.get_by_role("button", name="Try on the latest decisions").click()
                page.wait_for_load_state()  # or axe may see it without its style
                assert page.get_by_text("1 of the latest 1 decisions").is_visible()
                assert not axe.run(page).response["violations"]
                assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
                assert (
                    page.get_by_text("Refused requests").locator("xpath=following-sibling::dd[1]").inner_text()
                    == "none"
                )
                page.screenshot(path=tmp_path / f"{scheme}-{width}.png", full_page=True)
                context.close()
        finally:
            browser.close()
            serving.close()

"""Whole journeys through `shaper run`, in real browsers: from the invitation to a slowed photo to nothing left."""

import json
import time

from shaper.onboarding.credentials import Credential

from .chromium import Chromium, distrust, trust
from .conftest import PIECES
from .marionette import Firefox

SLOWED = sum(piece.size for piece in PIECES if piece.kind != "text")
LEAST = (SLOWED - 3 * 2048) * 8 / 400e3  # seconds that the slowed pieces must take: 400 kbit/s, a burst of 2 KiB each


def invite(lab):
    """Return an invitation's link, and what the proxy will ask for."""
    link = lab.invite()
    return Credential.parse(link.rpartition("/")[2]), link


def consent(browser, link, shot, name):
    """Answer one question wrongly first, as people do."""
    browser.go(link)
    assert browser.url.endswith("/consent")
    for field, answer in {"read": "all", "keep": "figures", "stop": "press"}.items():
        browser.click(f"input[name={field}][value={answer}]")
    browser.click("input[name=adult]")
    browser.click("button[value=yes]")
    assert "Not quite" in browser.text("main")
    shot(browser, f"{name}-explained")
    browser.click("input[name=read][value=targets]")
    browser.click("button[value=yes]")
    assert "You take part now" in browser.text("h1")


def reach(browser, lab):
    """Open the page that makes the browser show its password to the proxy, then go back to the check list."""
    browser.go(f"{lab.own}/setup")
    browser.go(browser.run("return document.querySelector('a[target=_blank]').href"))
    assert browser.text("h1") == "The proxy is reached"
    browser.go(f"{lab.own}/setup")


def feel(browser, lab, shot, name):
    """Run the test under both arms and return the seconds of each."""
    browser.go(f"{lab.own}/test")
    browser.click("#start")
    browser.wait("!document.getElementById('result').hidden && !document.getElementById('start').disabled", 60)
    shot(browser, f"{name}-test")
    result = json.loads(browser.run("return localStorage.getItem('shaper-tests-slow-photos')"))[-1]
    assert result["schema"] == "shaper.volunteer-test/1"
    return {
        run["arm"]: sum(piece["seconds"] for piece in run["pieces"] if piece["kind"] != "text")
        for run in result["runs"]
    }


def glass(browser, lab):
    """Return what the glass box says, once it tells of the slowed photo."""
    end, said = time.monotonic() + 20, ""
    while "A photo from photos: 47.2 kB, held back to 400 kbit/s" not in said:
        assert time.monotonic() < end, said
        browser.go(f"{lab.own}/glass")
        said = browser.text("main")
    return said


def leave(browser, lab, shot, name):
    """Look into the glass box, pause, go on, stop and delete."""
    kept = glass(browser, lab)
    assert "Something else (page, script or data) from photos: 2.98 kB, not slowed" in kept
    shot(browser, f"{name}-glass")
    browser.click("form[action='/pause'] button")
    assert "Paused until" in browser.text("main")
    browser.click("form[action='/resume'] button")
    assert "Slowing is on" in browser.text("main")
    browser.click("form[action='/stop'] button")
    assert browser.text("h1") == "Stopped"
    browser.click("main a[href='/delete']")
    browser.click("form[action='/delete'] button")
    assert browser.text("h1") == "Deleted"
    assert lab.members == []


def check_gone(browser, lab, sign):
    browser.go(f"{lab.own}/remove")
    browser.wait(f"document.getElementById('gone').classList.contains('{sign}')")
    return browser.text("#gone")


def all_green(count):
    return f"document.querySelectorAll('#checks .green').length === {count}"


def test_a_volunteer_with_chromium(lab, tmp_path, needs, shot):
    program = needs("chromium", "apt-get install chromium")
    certutil = needs("certutil", "apt-get install libnss3-tools")
    login, link = invite(lab)
    options = {"pac": f"{lab.own}/proxy.pac", "proxy": lab.proxy, "login": login}
    with Chromium(program, tmp_path, **options) as browser:
        consent(browser, link, shot, "chromium")
        reach(browser, lab)
        browser.wait(all_green(2))
        assert login.password not in browser.text("main")
    trust(tmp_path, lab.ca_pem, certutil)
    with Chromium(program, tmp_path, **options) as browser:
        reach(browser, lab)
        browser.wait(all_green(4))
        assert "A protocol is agreed on: HTTP/2" in browser.text("#checks")
        shot(browser, "chromium-setup")
        seconds = feel(browser, lab, shot, "chromium")
        assert seconds["slow"] > LEAST
        assert set(seconds) == {"slow", "control"}
        again = feel(browser, lab, shot, "chromium-again")
        assert again["slow"] > LEAST
        assert "Group slow, before" in browser.text("#table")
        leave(browser, lab, shot, "chromium")
        browser.wait("localStorage.length === 0")
        assert "Still there" in check_gone(browser, lab, "attention")
    distrust(tmp_path, certutil)
    with Chromium(program, tmp_path, **options) as browser:
        assert "Gone" in check_gone(browser, lab, "good")
        shot(browser, "chromium-gone")


FIREFOX_LOGIN = """
Cc["@mozilla.org/network/http-auth-manager;1"].getService(Ci.nsIHttpAuthManager)
  .setAuthIdentity("http", arguments[0], Number(arguments[1]), "basic", "shaper", "", "", arguments[2], arguments[3]);
"""
FIREFOX_TRUST = """
const database = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB);
database.addCertFromBase64(arguments[0], "C,,");
"""
FIREFOX_DISTRUST = """
const database = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB);
database.deleteCertificate(database.constructX509FromBase64(arguments[0]));
"""


def test_a_volunteer_with_firefox(lab, tmp_path, needs, shot):
    program = needs("firefox-esr", "apt-get install firefox-esr")
    login, link = invite(lab)
    body = "".join(lab.ca_pem.read_text().splitlines()[1:-1])
    proxy = {"network.proxy.type": 2, "network.proxy.autoconfig_url": f"{lab.own}/proxy.pac"}
    with Firefox(program, tmp_path / "profile", proxy) as browser:
        browser.run_privileged(FIREFOX_LOGIN, *lab.proxy.split(":"), login.username, login.password)
        consent(browser, link, shot, "firefox")
        reach(browser, lab)
        browser.wait(all_green(2))
        browser.run_privileged(FIREFOX_TRUST, body)
        browser.wait(all_green(4))
        assert "A protocol is agreed on: HTTP/2" in browser.text("#checks")
        shot(browser, "firefox-setup")
        seconds = feel(browser, lab, shot, "firefox")
        assert seconds["slow"] > LEAST
        assert set(seconds) == {"slow", "control"}
        leave(browser, lab, shot, "firefox")
        assert "Still there" in check_gone(browser, lab, "attention")
        browser.run_privileged(FIREFOX_DISTRUST, body)
    with Firefox(program, tmp_path / "profile", proxy) as browser:  # it remembers what it trusted until it is restarted
        assert "Gone" in check_gone(browser, lab, "good")
        shot(browser, "firefox-gone")


def test_a_volunteer_without_javascript(lab, tmp_path, needs, shot):
    program = needs("chromium", "apt-get install chromium")
    certutil = needs("certutil", "apt-get install libnss3-tools")
    login, link = invite(lab)
    trust(tmp_path, lab.ca_pem, certutil)
    options = {"pac": f"{lab.own}/proxy.pac", "proxy": lab.proxy, "login": login, "java_script_enabled": False}
    with Chromium(program, tmp_path, **options) as browser:
        consent(browser, link, shot, "plain")
        reach(browser, lab)
        browser.click("main a.quiet")  # "Check again"
        assert browser.page.locator("#checks .green").count() == 3
        shot(browser, "plain-setup")
        browser.go(f"{lab.own}/test")
        browser.click("button[value=slow]")
        browser.page.wait_for_load_state("load")
        shot(browser, "plain-loaded")
        assert browser.page.locator("main img").evaluate_all("all => all.every(one => one.naturalWidth > 0)")
        glass(browser, lab)
        shot(browser, "plain-glass")
        browser.click("form[action='/stop'] button")
        (member,) = lab.members
        assert member["state"] == "stopped"
        browser.click("main a[href='/delete']")
        browser.click("form[action='/delete'] button")
        assert lab.members == []
        browser.go(f"{lab.own}/remove")
        browser.click("noscript a, main a[href^=https]")
        assert "still there" in browser.text("main")

# ruff: noqa: E501 (user agents are long)
"""Set up: the right steps for a browser, a PAC file that says what the policy says, a check list, a certificate."""

import json
from itertools import product

import pytest
from cryptography import x509

from shaper.onboarding.site import pac
from shaper.onboarding.site.browser import BROWSERS, SYSTEMS, Browser
from shaper.onboarding.site.certificate import Certificate
from shaper.onboarding.site.checks import LIFE, MOST, Checks
from shaper.onboarding.site.via import introduction
from shaper.onboarding.site.wording import languages
from shaper.policy.target import HostSet

from .chromium import Chromium
from .conftest import SECRET, a_policy, a_study

AGENTS = {
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0": ("firefox", "linux", "firefox"),
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0": ("firefox", "windows", "firefox"),
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36": (
        "chrome", "windows", "windows",
    ),
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0": (
        "edge", "windows", "windows",
    ),
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15": (
        "safari", "macos", "macos",
    ),
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36": (
        "chrome", "linux", "linux",
    ),
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36": (
        "chrome", "android", "android",
    ),
    "Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0": ("firefox", "android", "android"),
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1": (
        "safari", "ios", "ios",
    ),
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/140.0 Mobile/15E148 Safari/604.1": (
        "chrome", "ios", "ios",
    ),
    "curl/8.5": ("", "", "firefox"),
    "": ("", "", "firefox"),
}  # fmt: skip


@pytest.mark.parametrize("agent", AGENTS)
def test_a_browser_is_recognised(agent):
    guess = Browser.guess(agent)
    assert (guess.browser, guess.system, guess.place) == AGENTS[agent]


@pytest.mark.parametrize("code", languages())
def test_there_are_steps_for_every_browser_on_every_system(participant, code):
    for browser, system in product(BROWSERS, SYSTEMS):
        check_steps(participant, code, browser, system)


def check_steps(participant, code, browser, system):
    page = participant.get(f"/setup?browser={browser}&system={system}&language={code}").text
    place = Browser(browser, system).place
    for step in languages()[code].steps(
        f"place.{place}.proxy", pac="http://127.0.0.1:8081/proxy.pac", host="", port="", name=""
    ):
        assert step in page
    assert participant.get(f"/remove?browser={browser}&system={system}").status_code == 200


def test_what_the_person_says_wins_over_the_guess(participant):
    firefox = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
    assert "This looks like Firefox on Linux" in participant.get("/setup", headers=firefox).text
    page = participant.get("/setup?browser=safari&system=ios", headers=firefox).text
    assert '<option value="safari" selected>' in page
    assert '<option value="ios" selected>' in page
    assert "Certificate Trust Settings" in page or "iCloud" in page
    assert participant.get("/setup?browser=lynx&system=plan9", headers=firefox).status_code == 200


def test_the_user_agent_is_kept_nowhere(participant, roster, tmp_path):
    participant.get("/setup", headers={"User-Agent": "Canary/4711 Firefox Linux"})
    assert all(b"Canary" not in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


HOSTS = [
    "photos.example.org", "a.photos.example.org", "a.b.photos.example.org", "bank.photos.example.org", "PHOTOS.example.org.",
    "photos.example.org.evil.example", "xphotos.example.org", "example.org", "t.co", "pbs.twimg.com", "twimg.com",
    "microsoft.com", "reddit.com", "xn--bcher-kva.example", "shaper.lab", "check.shaper.lab", "127.0.0.1", "localhost",
]  # fmt: skip


def test_the_pac_file_sends_what_the_policy_targets_and_nothing_else(needs, tmp_path):
    policy = a_policy(
        targets={
            "photos": {"hosts": ["photos.example.org", "*.photos.example.org", "bücher.example"]},
            "loose": {"hosts": [{"contains": "t.co"}, "*.twimg.com"]},
        },
        rules=[
            {"name": "r", "target": "photos", "media": ["image"]},
            {"name": "l", "target": "loose", "media": ["image"]},
        ],
    )
    study = a_study(policy=policy)
    targeted, never = HostSet(study.hosts), HostSet(policy.never)
    script = pac.script(study.hosts, policy.never, "127.0.0.1:8080")
    with Chromium(needs("chromium", "apt-get install chromium"), tmp_path) as browser:
        ways = browser.page.evaluate(
            "([script, hosts]) => hosts.map(new Function(script + '; return host => FindProxyForURL(`https://${host}/`, host);')())",
            [script, HOSTS],
        )
    expected = [
        "PROXY 127.0.0.1:8080; DIRECT" if host in targeted and host not in never else "DIRECT" for host in HOSTS
    ]
    assert dict(zip(HOSTS, ways, strict=True)) == dict(zip(HOSTS, expected, strict=True))
    assert len(set(ways)) == 2


def test_the_pac_file_covers_the_names_of_the_site_and_the_lab(visitor):
    answer = visitor.get("/proxy.pac")
    assert answer.headers["Content-Type"] == "application/x-ns-proxy-autoconfig"
    for name in ("shaper.lab", "check.shaper.lab", "photos.example.org"):
        assert json.dumps(["is", name]) in answer.text


def test_the_certificate_can_be_had_with_its_fingerprint_name_and_end(participant, authority):
    page, answer = participant.get("/setup").text, participant.get("/ca.crt")
    assert authority.fingerprint in page
    assert authority.not_after.strftime("%Y-%m-%d") in page
    assert "<code>check.shaper.lab</code>" in page
    assert x509.load_pem_x509_certificate(answer.data) == authority.certificate
    assert answer.headers["Content-Type"] == "application/x-x509-ca-cert"
    assert Certificate.read(authority.pem).name in participant.get("/remove").text


def test_a_key_in_the_same_file_is_not_handed_out(authority, tmp_path):
    both = tmp_path / "both.pem"
    both.write_bytes(authority.pem.with_name("shaper-ca-key.pem").read_bytes() + authority.pem.read_bytes())
    assert b"PRIVATE" not in Certificate.read(both).pem


def test_each_name_that_is_reached_turns_a_line_green(participant):
    page = participant.get("/setup").text
    token = page.split('data-token="')[1].split('"')[0]

    def seen():
        return [name for name, green in participant.get("/check.json").json.items() if green]

    assert participant.get(f"/seen/{token}.svg").status_code == 200  # under the site's own address it proves nothing
    assert seen() == []
    participant.get(f"/seen/{token}.svg", headers={"Host": "shaper.lab"})
    assert seen() == ["proxy"]
    participant.get(f"/reached/{token}", headers={"Host": "check.shaper.lab"})
    assert seen() == ["proxy", "routed"]
    participant.get(f"/seen/{token}.svg", headers={"Host": "check.shaper.lab"}, base_url="https://check.shaper.lab")
    assert seen() == ["proxy", "routed", "trusted"]
    assert participant.get("/setup").text.count('class="green"') == 3


def test_the_password_is_shown_until_the_proxy_lets_them_in_and_can_be_made_anew(participant, roster):
    shown = participant.get("/setup").text
    password = shown.split("Password for the proxy")[1].split("<code")[1].split(">")[1].split("<")[0]
    assert roster.authenticate(
        shown.split("Name for the proxy")[1].split("<code")[1].split(">")[1].split("<")[0], password
    )
    token = shown.split('data-token="')[1].split('"')[0]
    participant.get(f"/seen/{token}.svg", headers={"Host": "shaper.lab"})
    assert password in participant.get("/setup").text  # a picture comes without it
    (member,) = roster.members()
    vouched = introduction(SECRET)(member.pseudonym) | {"Host": "check.shaper.lab"}
    participant.get(f"/reached/{token}", headers=vouched)
    assert password not in participant.get("/setup").text
    assert participant.post("/setup/credential", page="/setup").location == "/setup"
    assert password not in participant.get("/setup").text
    assert "Password for the proxy" in participant.get("/setup").text


def test_check_lists_are_bounded_and_forgotten():
    now = [0.0]
    checks = Checks(lambda: now[0])
    first = checks.begin()
    now[0] = LIFE - 1
    assert checks.get(first)
    now[0] += LIFE + 1
    second = checks.begin()
    assert checks.get(first) is None
    for _ in range(MOST):
        checks.begin()
    assert checks.get(second) is None
    assert len(checks._seen) == MOST

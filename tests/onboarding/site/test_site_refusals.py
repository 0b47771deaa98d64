"""What the site refuses: forged forms, other names for it, too much, too odd. Nothing changes and each is counted."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shaper.onboarding.member import State
from shaper.onboarding.site.via import CLIENT, KEY, via_key

from .conftest import RIGHT, SECRET

CHANGES = ["/consent", "/setup/credential", "/test/arm", "/test/load", "/pause", "/resume", "/stop", "/delete"]


def state(roster):
    return [(member.state, member.paused_until) for member in roster.members()]


def test_a_change_without_the_sessions_token_is_refused(participant, roster, refusals):
    before = state(roster)
    for path in CHANGES:
        for token in ({}, {"token": ""}, {"token": "wrong"}, {"token": "\u00e9"}, {"token": "a" * 5000}):
            answer = participant.http.post(path, data={**RIGHT, **token})
            assert answer.status_code == 403
            assert "To be safe, nothing was changed" in answer.text
    assert state(roster) == before
    assert refusals == [403] * 5 * len(CHANGES)


def test_a_change_that_another_site_asks_for_is_refused_even_with_the_token(participant, roster):
    before, fields = state(roster), participant.fields("/glass")
    for path in CHANGES:
        for site in ("cross-site", "same-site", "nonsense"):
            answer = participant.http.post(path, data={**fields, **RIGHT}, headers={"Sec-Fetch-Site": site})
            assert answer.status_code == 403
    assert state(roster) == before


def test_a_link_changes_nothing(participant, roster):
    before = state(roster)
    for path in CHANGES:
        participant.get(path)
    assert state(roster) == before


def test_a_token_of_another_session_is_worth_nothing(app, participant, roster):
    other = type(participant)(app)
    answer = participant.http.post("/stop", data=other.fields("/consent"))
    assert answer.status_code == 403
    assert state(roster)[0][0] is State.TAKING_PART


@pytest.mark.parametrize("path", ["/pause", "/stop", "/test/arm", "/setup/credential", "/delete"])
def test_a_stranger_with_a_token_of_their_own_changes_nobody(visitor, roster, path):
    assert visitor.post(path).status_code == 409
    assert roster.members() == []


def test_a_session_that_was_tampered_with_is_no_session(participant):
    cookie = participant.http.get_cookie("shaper").value
    for forged in (cookie[:-2] + "xx", "e30.e30.e30", "", "\x00", cookie.replace(".", "")):
        participant.http.set_cookie("shaper", forged)
        assert participant.get("/glass").location == "/consent"


def test_under_any_other_name_there_is_nothing(participant, refusals):
    others = ["evil.example", "127.0.0.1.evil.example", "shaper.lab.evil.example", "", "a b", "[::1"]
    for host in others:
        answer = participant.get("/glass", headers={"Host": host})
        assert answer.status_code == 400
        assert answer.text == "This name does not lead here.\n"
    assert refusals == [400] * len(others)


def test_its_own_names_are_good(visitor):
    for host in ("127.0.0.1:8081", "localhost", "shaper.lab", "check.shaper.lab", "shaper.lab:80"):
        assert visitor.get("/consent", headers={"Host": host}).status_code == 200


def test_too_much_is_refused_in_words(participant, refusals):
    answer = participant.http.post("/stop", data={"token": "x" * 70_000})
    assert answer.status_code == 413
    assert "more than this site reads" in answer.text
    many = "&".join(f"a{i}=1" for i in range(5000))
    assert participant.http.post("/stop", data=many, content_type="application/x-www-form-urlencoded").status_code in (
        403,
        413,
    )


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/nowhere", "GET", 404),
        ("/pause", "GET", 405),
        ("/glass", "DELETE", 403),
        ("/seen/unknown.svg", "GET", 404),
    ],
)
def test_a_wrong_address_or_method_is_answered_in_words(participant, refusals, path, method, status):
    answer = participant.http.open(path, method=method)
    assert answer.status_code == status
    assert "<h1>" in answer.text
    assert refusals == [status]


def test_a_choice_that_is_none_is_refused(visitor, roster):
    for choice in ("", "maybe", "YES"):
        assert visitor.post("/consent", **{**RIGHT, "choice": choice}).status_code == 400
    assert roster.members() == []


def test_headers_cannot_be_written_through_values(participant):
    for path in (
        "/?language=en%0d%0aX-Evil:1",
        "/setup?browser=%0d%0aSet-Cookie:a=b&system=x",
        "/test/loaded?arm=%0d%0aX:1",
    ):
        answer = participant.get(path)
        assert "X-Evil" not in answer.headers
        assert not any("a=b" in value for value in answer.headers.getlist("Set-Cookie"))


def test_links_to_other_languages_stay_on_the_site(visitor):
    page = visitor.get("/consent?_external=1&_scheme=javascript&_anchor=x&language=en").text
    links = re.findall(r'<a lang="\w+" hreflang="\w+" href="([^"]*)"', page)
    assert links
    assert all(link.startswith("/consent?") for link in links)


def test_only_the_proxys_key_makes_its_word_count(app, participant, roster):
    (member,) = roster.members()
    stranger = type(participant)(app)
    for key in ("", "wrong", via_key(b"another secret")):
        answer = stranger.get("/glass", headers={KEY: key, CLIENT: member.pseudonym})
        assert answer.location == "/consent"
    answer = stranger.get("/glass", headers={KEY: via_key(SECRET), CLIENT: member.pseudonym})
    assert member.pseudonym in answer.text


def test_every_answer_forbids_scripts_frames_caches_and_guesses(participant):
    for path in ("/consent", "/glass", "/nowhere", "/proxy.pac", "/my-data.json"):
        headers = participant.get(path).headers
        rules = dict(rule.split(" ", 1) for rule in headers["Content-Security-Policy"].split("; "))
        assert rules["default-src"] == "'none'"
        assert rules["script-src"] == rules["style-src"] == rules["form-action"] == "'self'"
        assert rules["frame-ancestors"] == rules["base-uri"] == "'none'"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "same-origin"


def test_no_page_holds_an_inline_script_or_style(participant):
    for path in ("/consent", "/joined", "/setup", "/test", "/test/loaded", "/glass", "/delete", "/remove", "/nowhere"):
        page = participant.get(path).text
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", page), path


def test_cookies_are_for_this_site_alone_and_not_for_scripts(visitor):
    answers = [visitor.agree(), visitor.get("/consent?language=ru")]
    cookies = [cookie for answer in answers for cookie in answer.headers.getlist("Set-Cookie")]
    assert {cookie.split("=")[0] for cookie in cookies} == {"shaper", "language"}
    assert all("HttpOnly" in cookie and "SameSite=Lax" in cookie for cookie in cookies)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    path=st.sampled_from(["/consent", "/join/x", "/setup", "/seen/x.svg", "/test/loaded", "/test/arm", "/stop", "/x"]),
    query=st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=3),
    form=st.dictionaries(st.sampled_from(["token", "choice", "arm", "text", "read", "access"]), st.text(max_size=40)),
    post=st.booleans(),
)
def test_whatever_is_sent_the_site_does_not_break(participant, path, query, form, post):
    answer = participant.http.open(
        path, method="POST" if post else "GET", query_string=query, data=form if post else None
    )
    assert answer.status_code < 500

"""Consent: nothing before a yes, questions that explain, a text known by its digest, a receipt."""

from itertools import product

import pytest

from shaper.onboarding.budget import DAY, Terms
from shaper.onboarding.member import State
from shaper.onboarding.site.address import Addresses
from shaper.onboarding.site.app import change_study, make_site
from shaper.onboarding.site.consent_text import consent_texts, texts_in_force

from .conftest import ORIGIN, RIGHT, RULES, SECRET, Visitor, a_policy, a_study


def standing(roster):
    (member,) = roster.members()
    return member


def test_the_first_page_is_the_text_in_full(visitor, study):
    page = visitor.get("/", follow_redirects=True)
    for said in (
        "Network Lab, Example University",
        "slow-photos@example.org",
        "photos.example.org",
        "400 kbit/s",
        "90 days",
    ):
        assert said in page.text
    assert page.text.index("Please do not join") < page.text.index("Yes, I take part")


def test_no_keeps_nothing_at_all(visitor, roster):
    answer = visitor.post("/consent", choice="no")
    assert answer.location == "/declined"
    assert "Nothing was recorded" in visitor.get("/declined").text
    assert roster.members() == []


def test_looking_at_pages_keeps_nothing_either(visitor, roster):
    for path in ("/", "/consent", "/setup", "/test", "/glass", "/remove", "/proxy.pac", "/nowhere"):
        visitor.get(path)
    assert roster.members() == []


def test_yes_with_the_right_answers_is_a_consent_to_this_text(visitor, roster, study):
    assert visitor.agree(access="mobile").location == "/joined"
    member = standing(roster)
    assert member.state is State.TAKING_PART
    assert member.access == "mobile"
    assert member.consent.text == consent_texts(study)["en"].digest
    assert "Set up" in visitor.get("/joined").text


def test_a_wrong_or_missing_answer_is_explained_and_joins_nobody(visitor, roster):
    for name, answer in product(("read", "keep", "stop", "adult"), ("", "all", "<script>")):
        page = visitor.agree(**{name: answer})
        assert page.status_code == 422
        assert "Nothing is recorded yet" in page.text
        assert "<script>" not in page.text
    assert roster.members() == []


def test_the_explanation_keeps_the_other_answers(visitor):
    page = visitor.agree(read="all", access="fixed").text
    assert "Not quite: here is how it is" in page
    assert page.count(" checked") == 5  # the three questions, the line, the adult


def test_access_is_never_asked_to_be_more_than_the_two_kinds(visitor, roster):
    visitor.agree(access="'; drop table volunteer; --")
    assert standing(roster).access is None


def test_a_text_that_changed_meanwhile_is_not_agreed_to(visitor, roster):
    page = visitor.agree(text="sha256:" + "0" * 64)
    assert page.status_code == 409
    assert "The text has changed" in page.text
    assert roster.members() == []


def test_a_consent_that_is_sent_again_is_still_one_person(visitor, roster):
    visitor.agree()
    visitor.http.post("/consent", data={**visitor.fields("/glass"), **RIGHT})
    assert len(roster.members()) == 1


def test_the_receipt_holds_the_text_its_digest_and_the_way_out(participant, roster, study):
    answer = participant.get("/receipt.txt")
    text = consent_texts(study)["en"]
    assert answer.headers["Content-Disposition"].startswith("attachment")
    for said in (
        text.plain,
        text.digest,
        standing(roster).pseudonym,
        "/glass",
        "slow-photos@example.org",
        "Receipt",
    ):
        assert said in answer.text
    assert "&#" not in answer.text
    assert "<" not in answer.text


def test_each_language_has_a_text_of_its_own_and_both_count(visitor, roster, study):
    visitor.get("/consent?language=ru")
    page = visitor.get("/consent").text
    assert '<html lang="ru">' in page
    assert "Да, я участвую" in page
    visitor.agree()
    assert standing(roster).consent.text == consent_texts(study)["ru"].digest
    assert standing(roster).consent.language == "ru"


@pytest.mark.parametrize(
    "changed",
    [
        {"policy": a_policy(description="For something else")},
        {"policy": a_policy(mode="shadow")},
        {"contact": "somebody-else@example.org"},
        {"terms": Terms(keep=7 * DAY)},
        {"approval": ""},
    ],
)
def test_whatever_a_person_was_told_changes_the_digest_when_it_changes(changed):
    before, after = a_study(purpose={}), a_study(purpose={}, **changed)
    assert texts_in_force(before).isdisjoint(texts_in_force(after))


def test_the_same_study_has_the_same_texts_one_a_language():
    assert texts_in_force(a_study()) == texts_in_force(a_study())
    assert len(texts_in_force(a_study())) == len(consent_texts(a_study()))


def test_when_the_study_changes_everybody_is_asked_again(app, roster, participant):
    change_study(app, a_study(contact="somebody-else@example.org"))
    assert standing(roster).state is State.OUTDATED
    assert participant.get("/setup").location == "/consent"
    assert participant.get("/test").location == "/consent"
    assert participant.get("/glass").status_code == 200  # their data stay within reach
    page = participant.get("/consent").text
    assert "has ended, or the text has changed" in page
    participant.agree()
    assert standing(roster).state is State.TAKING_PART


def test_a_study_that_opens_nothing_says_so_and_needs_no_certificate(roster):
    rules = [
        {
            "name": "whole",
            "target": "photos",
            "level": "connection",
            "caps": [{"scope": "connection", "rate": "130 kbit/s"}],
        }
    ]
    study = a_study(policy=a_policy(rules=rules))
    text = consent_texts(study)["en"].plain
    assert "Nothing. The study works on closed connections" in text
    assert "whole connections to" in text
    assert "130 kbit/s" in text
    app = make_site(
        roster, study, Addresses(own="http://127.0.0.1:1", proxy="127.0.0.1:2"), secret=SECRET, open_to_all=True
    )
    app.testing = True
    visitor = Visitor(app)
    assert visitor.agree().status_code == 422  # another answer is right here
    assert visitor.agree(read="none").location == "/joined"
    page = visitor.get("/setup").text
    assert "The proxy is reached" in page
    assert "The certificate is trusted" not in page
    assert "/ca.crt" not in page


def test_what_is_only_slowed_as_a_whole_is_not_said_to_be_decrypted():
    targets = {
        "photos": {"hosts": [ORIGIN, {"contains": "loose"}]},
        "calls": {"hosts": ["calls.example.org"]},
    }
    whole = {
        "name": "whole",
        "target": "calls",
        "level": "connection",
        "caps": [{"scope": "connection", "rate": "1 Mbit/s"}],
    }
    study = a_study(policy=a_policy(targets=targets, rules=[whole, *RULES]))
    text = consent_texts(study)["en"]
    (decrypted,) = [section for section in text.sections if section.key == "decrypted"]
    assert decrypted.blocks[1] == (f"<code>{ORIGIN}</code>",)
    for host in ("calls.example.org", "*loose*"):  # the latter is more than a certificate can be confined to
        assert host in text.plain


def test_a_control_says_that_nothing_is_slowed():
    rules = [{"name": "nothing", "target": "photos", "media": ["image"]}]
    assert "this is a control" in consent_texts(a_study(policy=a_policy(rules=rules)))["en"].plain


@pytest.fixture
def closed(roster, study, refusals):
    """A study by invitation."""
    addresses = Addresses(own="http://127.0.0.1:1", proxy="127.0.0.1:2")
    app = make_site(roster, study, addresses, secret=SECRET, count=refusals.append)
    app.testing = True
    return Visitor(app)


def test_without_an_invitation_one_may_read_but_not_join(closed, roster):
    page = closed.get("/consent").text
    assert "by invitation" in page
    assert "Yes, I take part" not in page
    assert roster.members() == []


def test_an_invitation_leads_to_the_text_and_then_in(closed, roster):
    _, credential = roster.enrol()
    assert closed.get(f"/join/{credential.token}").location == "/"
    assert standing(roster).state is State.INVITED
    assert closed.agree().location == "/joined"
    assert standing(roster).state is State.TAKING_PART
    page = closed.get("/setup").text
    assert credential.username in page
    assert credential.password in page


@pytest.mark.parametrize("token", ["nonsense", "aaaaaaaa-" + "a" * 32, "%00", "..%2f..%2fetc", "a" * 5000])
def test_a_bad_invitation_is_refused_and_counted(closed, roster, refusals, token):
    assert closed.get(f"/join/{token}").status_code == 404
    assert refusals == [404]
    assert closed.get("/glass").location == "/consent"

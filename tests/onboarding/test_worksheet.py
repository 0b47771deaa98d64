"""The ethics worksheet says of a study what its configuration says, and asks the rest."""

from dataclasses import replace

import pytest
from remembering_proxy import CONFIGURATION, TEXT

from shaper.onboarding.budget import DAY, Terms
from shaper.onboarding.worksheet import warnings, worksheet
from shaper.policy.load import loads

POLICY = loads(TEXT, "policy")
PRINCIPLES = ["Respect for persons", "Beneficence", "Justice", "Respect for law and public interest"]


def sections(text):
    return {part.partition("\n")[0]: part for part in text.split("\n## ")[1:]}


@pytest.mark.parametrize("configuration", [CONFIGURATION, None])
def test_every_principle_of_the_report_has_questions_that_no_machine_answers(configuration):
    found = sections(worksheet(POLICY, configuration, Terms()))
    assert [name for name in found if name in PRINCIPLES] == PRINCIPLES
    assert all("- [ ] " in found[name] for name in [*PRINCIPLES, "Stakeholders"])


def test_what_the_policy_does_stands_in_it_in_words():
    text = worksheet(POLICY, CONFIGURATION, Terms())
    assert POLICY.digest in text
    assert "slow: image of target cdn: 150 kbit/s for each response" in text
    assert "People are slowed." in text
    assert "cdn.example and what is below them" in text
    assert "Who asks: A lab" in text


@pytest.mark.parametrize(
    "text",
    [TEXT.replace("study: study", "study: study\nmode: shadow"), TEXT.replace(", caps: [{rate: 150 kbit/s}]", "")],
)
def test_a_policy_that_slows_nobody_is_said_to(text):
    assert "Nobody is slowed" in worksheet(loads(text, "policy"), None, Terms())


def test_a_plan_is_called_one_and_makes_no_claim_about_a_proxy():
    text = worksheet(POLICY, None, Terms())
    assert "Filled from a plan" in text
    assert "127.0.0.1" not in text


def test_arms_are_given_with_their_shares():
    text = worksheet(loads(TEXT + "arms: {slow: 3, control: 1}\n", "policy"), None, Terms())
    assert "Arms: control 25%, slow 75%." in text


def test_a_sound_study_raises_no_warning():
    assert warnings(POLICY, CONFIGURATION, Terms()) == []
    assert "Nothing stands out." in worksheet(POLICY, CONFIGURATION, Terms())


@pytest.mark.parametrize(
    ("policy", "changes", "terms", "expected"),
    [
        (TEXT.replace("[cdn.example]", "[{contains: t.co}]"), {}, Terms(), '"t.co" matches anywhere'),
        (TEXT, {}, Terms(bytes_a_day=None), "no data budget"),
        (TEXT, {}, Terms(consent=91 * DAY), "more than 90 days"),
        (TEXT, {"volunteers": False}, Terms(), "nobody is asked for consent"),
        (TEXT, {"approval": ""}, Terms(), "No ethics approval"),
        (TEXT, {"contact": ""}, Terms(), "No contact"),
        (TEXT, {"listen": "0.0.0.0:8080"}, Terms(), "Other machines can reach"),
        (TEXT, {"allowed_destinations": ("10.0.0.0/8",)}, Terms(), "private networks: 10.0.0.0/8"),
    ],
)
def test_what_a_reviewer_asks_about_first_is_pointed_out(policy, changes, terms, expected):
    found = warnings(loads(policy, "policy"), replace(CONFIGURATION, **changes), terms)
    assert len(found) == 1
    assert expected in found[0]

"""A volunteer may feel another arm in the test page without being moved to it."""

from types import SimpleNamespace

import pytest

from shaper.onboarding.presence import SHOWN
from shaper.onboarding.roster import UnknownVolunteerError


@pytest.fixture
def volunteer(roster):
    pseudonym, _ = roster.enrol()
    roster.consent(pseudonym, "any", "en")
    return pseudonym


def a_record(client, arm):
    return SimpleNamespace(**{**dict.fromkeys(SHOWN), "client": client, "arm": arm, "size": 1})


def test_a_rehearsed_arm_rules_for_its_time_and_no_longer(roster, volunteer):
    roster.record(a_record(volunteer, "control"))
    roster.rehearse(volunteer, "treatment", 60)
    assert roster.standing(volunteer).person.arm == "treatment"
    roster.rehearse(volunteer, "treatment", 0)
    assert roster.standing(volunteer).person.arm == "control"


def test_records_of_a_rehearsal_do_not_settle_the_arm(roster, volunteer):
    roster.rehearse(volunteer, "treatment", 0)
    roster.record(a_record(volunteer, "treatment"))
    assert roster.standing(volunteer).person.arm is None
    roster.record(a_record(volunteer, "control"))
    assert roster.standing(volunteer).person.arm == "control"


def test_nobody_unknown_rehearses(roster):
    with pytest.raises(UnknownVolunteerError):
        roster.rehearse("stranger", "treatment")

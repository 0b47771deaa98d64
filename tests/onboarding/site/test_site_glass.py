"""Glass box and test page: records in words; pause, stop, delete and download do what they say, at once."""

import json
from itertools import product

import pytest

from shaper.onboarding.member import State
from shaper.onboarding.site.entry import in_words
from shaper.onboarding.site.trial import Piece, expected_time
from shaper.onboarding.site.wording import languages
from shaper.policy.verdict import Reason
from shaper.record.transfer import Outcome

from .conftest import ORIGIN, a_record


def the_one(roster):
    (member,) = roster.members()
    return member


def test_a_record_is_told_in_words(participant, roster):
    client = the_one(roster).pseudonym
    roster.record(a_record(client))
    roster.record(a_record(client, media="other", reason=Reason.NO_RULE, rate=None, size=2_000, held=0.0))
    page = participant.get("/glass").text
    assert "A photo from photos: 84 kB, held back to 400 kbit/s" in page
    assert "held back 1.6 s" in page
    assert "Something else (page, script or data) from photos: 2 kB, not slowed" in page
    assert page.count('class="slowed"') == 1
    assert "2026-03-12 09:00:00" in page
    assert participant.get("/glass/live").text.count("<li") == 2


@pytest.mark.parametrize("code", languages())
def test_every_kind_of_record_has_words(code):
    reasons = [Reason.MATCHED, Reason.UNCAPPED, Reason.PHASE]
    for level, outcome, reason, rate in product(("media", "connection"), Outcome, reasons, (None, 130e3)):
        check_words(code, level, outcome, reason, rate)


def check_words(code, level, outcome, reason, rate):
    entry = {"level": level, "outcome": outcome, "reason": reason, "rate": rate, "media": "video", "target": "photos"}
    said = in_words(
        {**entry, "size": 1, "time": "2026-03-12T09:00:00Z", "arm": "", "duration": 2.0, "held": 1.0}, languages()[code]
    )
    assert "photos" in said.said
    assert said.slowed == (reason is Reason.MATCHED)


def test_somebody_elses_records_are_not_shown(participant, roster):
    other, _ = roster.enrol()
    roster.consent(other, next(iter(roster.texts)), "en")
    roster.record(a_record(other, size=123_456))
    assert "123 kB" not in participant.get("/glass").text
    assert other not in participant.get("/my-data.json").text


def test_pause_leaves_the_person_alone_until_they_go_on(participant, roster):
    client = the_one(roster).pseudonym
    assert participant.post("/pause", page="/glass").location == "/glass"
    assert roster.standing(client).exempt is Reason.PAUSED
    assert "Paused until" in participant.get("/glass").text
    participant.post("/resume", page="/glass")
    assert roster.standing(client).exempt is None
    assert "Slowing is on" in participant.get("/glass").text


def test_stop_ends_it_at_once_and_leaves_the_data_to_be_deleted(participant, roster):
    client = the_one(roster).pseudonym
    roster.record(a_record(client))
    assert participant.post("/stop", page="/glass").location == "/stopped"
    assert roster.standing(client).exempt is Reason.NO_CONSENT
    assert "Delete my data" in participant.get("/stopped").text
    assert "84 kB" in participant.get("/glass").text
    assert participant.get("/setup").location == "/consent"


def test_who_stopped_may_join_again(participant, roster):
    participant.post("/stop", page="/glass")
    assert participant.agree().location == "/joined"
    assert the_one(roster).state is State.TAKING_PART


def test_delete_asks_once_and_then_leaves_nothing(participant, roster, tmp_path):
    client = the_one(roster).pseudonym
    roster.record(a_record(client))
    assert "your records (now 1)" in participant.get("/delete").text
    assert participant.post("/delete", page="/delete").location == "/deleted"
    assert roster.members() == []
    assert participant.get("/glass").location == "/consent"
    assert "no line can be told to be yours" in participant.get("/deleted").text
    assert b"photos-and-video" not in (tmp_path / "volunteers.sqlite").read_bytes()


def test_the_download_holds_all_that_is_kept(participant, roster):
    roster.record(a_record(the_one(roster).pseudonym))
    answer = participant.get("/my-data.json")
    data = json.loads(answer.text)
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert data["transfers"][0]["size"] == 84_000
    assert len(data["consents"]) == 1
    assert ORIGIN not in answer.text


def test_only_the_newest_are_shown_and_the_rest_is_counted(participant, roster):
    client = the_one(roster).pseudonym
    for _ in range(60):
        roster.record(a_record(client))
    page = participant.get("/glass").text
    assert page.count('class="slowed"') == 50
    assert "The latest 50 of 60 are shown" in page


def test_the_test_page_offers_each_arm_and_says_what_it_does(participant):
    page = participant.get("/test").text
    assert page.count("group control") >= 1
    assert "400 kbit/s" in page
    assert "nothing is slowed" in page


def test_an_arm_is_tried_and_given_back(participant, roster):
    client = the_one(roster).pseudonym
    roster.record(a_record(client, arm="control"))
    assert participant.post("/test/arm", page="/test", arm="slow").status_code == 204
    assert roster.standing(client).person.arm == "slow"
    participant.post("/test/arm", page="/test", arm="slow", over="yes")
    assert roster.standing(client).person.arm == "control"


def test_an_arm_that_the_study_does_not_have_is_refused(participant, roster):
    for arm in ("", "nonsense", "SLOW"):
        assert participant.post("/test/arm", page="/test", arm=arm).status_code == 400
    assert roster.standing(the_one(roster).pseudonym).person.arm is None


def test_without_a_script_the_pieces_are_on_the_next_page(participant):
    answer = participant.post("/test/load", page="/test", arm="slow")
    assert answer.location == "/test/loaded?arm=slow"
    page = participant.get(answer.location).text
    assert f'<img src="https://{ORIGIN}/photos/dusk.jpg"' in page
    assert f'<video src="https://{ORIGIN}/video/train.mp4"' in page


def test_the_time_that_a_test_takes_is_told_beforehand(study):
    pieces = (Piece("text", "/", 10**9), Piece("photo", "/", 50_000), Piece("video", "/", 50_000))
    assert expected_time(study, "slow", pieces) == pytest.approx(1 + 100_000 * 8 / 400e3)
    assert expected_time(study, "control", pieces) == 1


def test_nobody_is_told_that_they_left_who_did_not(participant):
    assert participant.get("/stopped").location == "/glass"
    assert participant.get("/deleted").location == "/glass"

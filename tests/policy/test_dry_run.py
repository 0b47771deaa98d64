"""A dry run tells how many of the latest decisions another policy would have changed, and names nobody."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shaper.policy.admission import Admission, Admitted, Standing, admit
from shaper.policy.dry_run import Change, Decision, Recent, dry_run
from shaper.policy.judge import Judge
from shaper.policy.load import loads
from shaper.policy.verdict import Facts, Person, Reason, Verdict

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ANN = Standing(Person(pseudonym="ann"))


def judge(media="image", host="cdn.example", rule="slow"):
    return Judge(
        loads(
            f'{{version: 1, study: s, targets: {{t: {{hosts: ["{host}"]}}}},'
            f" rules: [{{name: {rule}, target: t, media: [{media}], caps: [{{rate: 150 kbit/s}}]}}]}}",
            "policy",
        )
    )


def noted(judge, facts, standing=ANN):
    recent = Recent()
    recent.message(facts, standing, judge.decide(facts, standing.person, NOW))
    return recent


PICTURE = Facts("cdn.example", path="/private/photo.jpg?secret=1", content_type=("image/png",), head=b"\x89PNG secret")


def test_the_same_policy_changes_nothing():
    slow = Decision("image", "matched", "slow")
    assert dry_run(judge(), judge(), noted(judge(), PICTURE), NOW) == [Change(slow, slow, 1)]


def test_a_policy_about_other_media_lets_the_picture_pass():
    changes = dry_run(judge(), judge(media="video"), noted(judge(), PICTURE), NOW)
    assert changes == [Change(Decision("image", "matched", "slow"), Decision("image", "no-rule", ""), 1)]


def test_connections_are_decided_again_too():
    recent = Recent()
    recent.connection(["cdn.example"], ANN, admit(judge(), ["cdn.example"], ANN, NOW))
    [change] = dry_run(judge(), judge(host="other.example"), recent, NOW)
    assert change.before == Decision("intercepted", "no-rule", "")
    assert change.after == Decision("tunnelled", "untargeted", "")


@pytest.mark.parametrize(
    ("host", "standing"), [("elsewhere.example", ANN), ("cdn.example", Standing(exempt=Reason.PAUSED))]
)
def test_no_other_host_and_nobody_who_takes_no_part_is_kept(host, standing):
    recent, facts = Recent(), replace(PICTURE, host=host)
    recent.connection([host], standing, admit(judge(), [host], standing, NOW))
    verdict = Verdict(standing.exempt) if standing.exempt else judge().decide(facts, standing.person, NOW)
    recent.message(facts, standing, verdict)
    assert list(recent) == []


def test_changes_come_first_and_the_most_frequent_before_the_rest():
    recent = Recent()
    for media, times in (("image", 3), ("video", 2), ("audio", 1)):
        facts = Facts("cdn.example", content_type=(f"{media}/any",))
        for _ in range(times):
            recent.message(facts, ANN, judge().decide(facts, Person(), NOW))
    changes = dry_run(judge(media="image"), judge(media="video, audio"), recent, NOW)
    assert [(change.before.action, change.count) for change in changes] == [("image", 3), ("video", 2), ("audio", 1)]


@pytest.mark.parametrize(
    "facts",
    [
        PICTURE,
        Facts("cdn.example", path="/a.webp"),
        Facts("cdn.example", fetch_dest="image"),
        Facts("cdn.example", head=b"\xff\xd8\xff\xe0 jpeg"),
        Facts("cdn.example", content_type=("text/html",), path="/a.jpg"),
        Facts("cdn.example", content_type=("text/event-stream",)),
        Facts("cdn.example", method="HEAD", content_type=("image/png",)),
    ],
)
def test_what_is_kept_is_decided_as_the_message_was(facts):
    verdict = judge().decide(facts, Person(), NOW)
    [change] = dry_run(judge(), judge(), noted(judge(), facts), NOW)
    assert (change.before.action, change.before.reason) == (verdict.media, verdict.reason)


def test_no_path_body_or_query_is_kept():
    [seen] = noted(judge(), PICTURE)
    assert "secret" not in repr(seen)
    assert "photo" not in repr(seen)


@given(st.integers(0, 30))
def test_only_the_newest_are_kept(number):
    recent = Recent(kept=10)
    for index in range(number):
        recent.connection([str(index)], ANN, Admitted(Admission.SHAPE, Verdict(Reason.MATCHED, target="t")))
    assert [seen.hosts for seen in recent] == [(str(index),) for index in range(max(0, number - 10), number)]


def test_nothing_is_kept_that_a_decision_does_not_need():
    (seen,) = noted(judge(), replace(PICTURE, fetch_dest="image"))
    assert seen.facts == Facts("cdn.example", content_type=("image/any",))


def test_unchanged_decisions_come_last_however_many_they_are():
    recent = Recent()
    for kind in ("text/css", "text/css", "image/png"):
        facts = Facts("cdn.example", content_type=(kind,))
        recent.message(facts, ANN, judge().decide(facts, Person(), NOW))
    changes = dry_run(judge(), judge(media="video"), recent, NOW)
    assert [(change.before.action, change.count) for change in changes] == [("image", 1), ("other", 2)]


def test_both_policies_are_asked_about_the_same_moment():
    phases = ", phases: [{name: past, start: 2020-01-01T00:00Z, end: 2021-01-01T00:00Z}]"
    text = (
        "{version: 1, study: s, targets: {t: {hosts: [cdn.example]}}" + phases + ", rules: [{name: slow, target: t,"
        " phases: [past], LEVEL, caps: [{scope: connection, rate: 150 kbit/s}]}]}"
    )
    for level in ("media: [image]", "level: connection"):
        phased = Judge(loads(text.replace("LEVEL", level), "policy"))
        recent = noted(judge(), PICTURE)
        recent.connection(["cdn.example"], ANN, admit(judge(), ["cdn.example"], ANN, NOW))
        for moment, reason in ((NOW, "phase"), (NOW.replace(year=2020), "matched")):
            for before, after in ((phased, judge()), (judge(), phased)):
                changes = dry_run(before, after, recent, moment)
                sides = [change.before if before is phased else change.after for change in changes]
                assert reason in {side.reason for side in sides}
                assert {side.reason for side in sides} <= {reason, "no-rule"}

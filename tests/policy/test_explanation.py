"""Explanations: they say what a run would do, and why the rules before the deciding one do not."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from shaper.policy.explanation import explanation
from shaper.policy.judge import Judge
from shaper.policy.load import quick
from shaper.policy.verdict import Facts, Person

SLOW = {"media": ["image"], "caps": [{"rate": "150 kbit/s"}]}
WHOLE = {"level": "connection", "caps": [{"scope": "client", "rate": "150 kbit/s"}]}
ARMS = {"arms": {"control": 1, "treatment": 1}}
JPEG = Facts("pbs.twimg.com", content_type=("image/jpeg",))


def explain(judge, now, facts=JPEG, person=Person(), connection_only=False):  # noqa: B008 - frozen
    return list(explanation(judge, facts, person, now, connection_only))[1:]


def test_the_rules_are_told_up_to_the_one_that_decides(policy, now):
    judge = Judge(policy(SLOW | {"target": "site"}, SLOW | {"arms": ["control"]}, SLOW, {"media": ["image"]}, **ARMS))
    assert explain(judge, now, person=Person(arm="treatment")) == [
        ("host", "pbs.twimg.com: target media"),
        ("connection", "intercepted: decrypted, and each response judged by its media"),
        ("message", "image, by content-type"),
        ("client", "arm treatment; phases in force: none"),
        ("rule", "rule-1 is about target site"),
        ("rule", "rule-2 is for arm control; this client's is treatment"),
        ("rule", "rule-3 decides:"),
        ("", "150 kbit/s for each response, burst 2 KiB, delayed smoothly"),
        ("verdict", "matched: the rule applies"),
    ]


def test_a_whole_connection_is_explained_without_a_message(policy, now):
    assert explain(Judge(policy(WHOLE)), now)[1:] == [
        ("connection", "handled as a whole: never decrypted"),
        ("rule", "rule-1 decides:"),
        ("", "150 kbit/s for each client, burst 2 KiB, delayed smoothly"),
        ("verdict", "matched: the rule applies"),
    ]


def test_an_upload_through_a_connection_that_is_slowed_downwards_passes(policy, now):
    upload = Facts("pbs.twimg.com", method="POST", up=True)
    assert explain(Judge(policy(WHOLE)), now, upload)[-1][1].startswith("uncapped: passes")
    for direction in ("up", "both"):
        assert explain(Judge(policy(WHOLE | {"direction": direction})), now, upload)[-1][1].startswith("matched")


def test_of_an_intercepted_connection_alone_no_verdict_is_claimed(policy, now):
    assert explain(Judge(policy(SLOW)), now, connection_only=True)[2:] == [
        ("rule", "rule-1 is about single responses"),
        ("verdict", "each response gets its own"),
    ]


def test_what_no_rule_can_change_is_explained_without_rules(policy, now):
    for facts, verdict in [
        (Facts("pbs.twimg.com", status=304), "bodiless: passes: it has no body"),
        (Facts("example.org"), "untargeted: passes: no target lists the host"),
    ]:
        lines = explain(Judge(policy(SLOW)), now, facts)
        assert lines[-1] == ("verdict", verdict)
        assert "rule" not in dict(lines)


def test_a_host_that_is_never_touched_is_explained_by_who_says_so(policy, now):
    judge = Judge(policy(SLOW, never=["pbs.twimg.com"]))
    assert explain(judge, now)[0] == ("host", "pbs.twimg.com: never touched (the policy says so)")


QUICK = Judge(quick(["image *.twimg.com 150 kbit/s", "video a.example 1 kB/s"]))


@given(st.sampled_from(["pbs.twimg.com", "a.example"]) | st.text(), st.text(), st.booleans())
def test_an_explanation_always_ends_in_the_verdict_of_the_judge(host, content_type, up):
    facts, now = Facts(host, content_type=(content_type,), up=up), datetime.now(UTC)
    lines = explain(QUICK, now, facts)
    assert lines[-1][1].startswith(f"{QUICK.decide(facts, Person(), now).reason}: ")


def test_the_policy_the_host_and_the_client_are_told_as_they_are(policy, now):
    phases = {"phases": [{"name": name, "start": "2021-03-12T00:00Z"} for name in ("one", "two")]}
    judge = Judge(policy(SLOW | {"phases": ["one"]}, **ARMS, **phases))
    lines = list(explanation(judge, JPEG, Person(arm="control"), now, connection_only=False))
    assert lines[0] == ("policy", f"s, {judge.policy.digest[:19]}")
    assert ("client", "arm control; phases in force: one, two") in lines
    assert explain(judge, now, Facts("example.org"))[0] == ("host", "example.org: no target")
    before = now.replace(year=2020)
    lines = explain(judge, before)
    assert lines[-1] == ("verdict", "phase: passes: no phase that the rules name is in force")
    assert any(line.endswith("phases in force: none") for _, line in lines)
    armless = Judge(policy(SLOW, **phases))
    assert ("client", "arm none; phases in force: one, two") in explain(armless, now)

"""Verdicts: the first rule whose conditions all hold, else the most telling reason; never an error."""

from datetime import UTC, datetime
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shaper.policy import judge as judge_module
from shaper.policy.judge import Case, Judge, Obstacle
from shaper.policy.media import Evidence, MediaClass
from shaper.policy.model import Level, Policy
from shaper.policy.verdict import Facts, Person, Reason, Verdict

CAP = {"rate": "150 kbit/s"}
SLOW = {"media": ["image", "video"], "caps": [CAP]}
JPEG = Facts("pbs.twimg.com", content_type=("image/jpeg",))
HTML = Facts("pbs.twimg.com", content_type=("text/html",))
SOMEBODY = Person("somebody")
ARMS = {"arms": {"control": 1, "treatment": 1}}
PHASES = {"phases": [{"name": "past", "start": "2021-03-10T00:00Z", "end": "2021-03-11T00:00Z"}]}


def test_a_matched_rule_brings_its_limits_and_the_evidence(policy, now):
    verdict = Judge(policy(SLOW)).decide(JPEG, SOMEBODY, now)
    (rule,) = policy(SLOW).rules
    assert verdict == Verdict(
        Reason.MATCHED, MediaClass.IMAGE, Evidence.CONTENT_TYPE, "media", rule, rule.limits, arm="", phase=""
    )
    assert verdict.shaped
    assert verdict.limits[0].rate == 18_750


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (JPEG, Reason.MATCHED),
        (HTML, Reason.NO_RULE),
        (Facts("twitter.com", content_type=("image/jpeg",)), Reason.NO_RULE),
        (Facts("twimg.com", content_type=("image/jpeg",)), Reason.UNTARGETED),
        (Facts("secret.twimg.com", content_type=("image/jpeg",)), Reason.NEVER),
        (Facts("PBS.twimg.com.:443", content_type=("image/jpeg",)), Reason.MATCHED),
    ],
)
def test_only_targeted_media_is_shaped(policy, now, facts, reason):
    verdict = Judge(policy(SLOW, never=["secret.twimg.com"])).decide(facts, SOMEBODY, now)
    assert verdict.reason is reason
    assert verdict.shaped == bool(verdict.limits) == (reason is Reason.MATCHED)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"method": "HEAD"}, Reason.BODILESS),
        ({"method": "CONNECT"}, Reason.BODILESS),
        ({"status": 103}, Reason.BODILESS),
        ({"status": 204}, Reason.BODILESS),
        ({"status": 205}, Reason.BODILESS),
        ({"status": 304}, Reason.BODILESS),
        ({"content_length": 0}, Reason.BODILESS),
        ({"status": 101}, Reason.UPGRADE),
        ({"upgrade": True, "method": "CONNECT"}, Reason.UPGRADE),
        ({"content_type": ("text/event-stream; charset=utf-8",)}, Reason.EVENT_STREAM),
        ({"content_type": ("image/png", "Text/Event-Stream")}, Reason.EVENT_STREAM),
        ({"status": 206}, Reason.MATCHED),
        ({"status": 404}, Reason.MATCHED),
        ({"content_length": 1}, Reason.MATCHED),
        ({"method": "HEAD", "up": True, "content_length": 0}, Reason.BODILESS),
        ({"method": "POST", "up": True}, Reason.NO_RULE),
    ],
)
def test_what_has_no_body_to_slow_passes(policy, now, change, reason):
    facts = Facts(**{"host": "pbs.twimg.com", "content_type": ("image/png",)} | change)
    verdict = Judge(policy(SLOW)).decide(facts, SOMEBODY, now)
    assert (verdict.reason, verdict.target) == (reason, "media")


@pytest.mark.parametrize(("direction", "down", "up"), [("down", 1, 0), ("up", 0, 1), ("both", 1, 1)])
def test_a_rule_is_about_its_direction(policy, now, direction, down, up):
    judge = Judge(policy(SLOW | {"direction": direction}))
    upload = Facts("pbs.twimg.com", method="POST", content_type=("image/png",), up=True)
    assert judge.decide(JPEG, SOMEBODY, now).shaped == bool(down)
    assert judge.decide(upload, SOMEBODY, now).shaped == bool(up)


@pytest.mark.parametrize(
    ("rule", "person", "reason"),
    [
        ({"access": ["mobile"]}, Person(access="mobile"), Reason.MATCHED),
        ({"access": ["mobile"]}, Person(access="fixed"), Reason.ACCESS),
        ({"access": ["mobile"]}, Person(), Reason.ACCESS),
        ({"arms": ["treatment"]}, Person(arm="treatment"), Reason.MATCHED),
        ({"arms": ["treatment"]}, Person(arm="control"), Reason.ARM),
        ({"arms": ["treatment"]}, Person(), Reason.ARM),
        ({"phases": ["past"]}, Person(), Reason.PHASE),
        ({"rollout": "0 %"}, SOMEBODY, Reason.ROLLOUT),
        ({"rollout": "99 %"}, Person(), Reason.ROLLOUT),
        ({"rollout": "100 %"}, Person(), Reason.MATCHED),
    ],
)
def test_a_rule_is_for_the_clients_and_the_time_that_it_names(policy, now, rule, person, reason):
    assert Judge(policy(SLOW | rule, **ARMS, **PHASES)).decide(JPEG, person, now).reason is reason


def test_a_phase_begins_and_ends_by_the_time_given(policy, now):
    judge = Judge(policy(SLOW | {"phases": ["past"]}, **PHASES))
    inside = datetime(2021, 3, 10, 23, 59, tzinfo=UTC)
    assert [judge.decide(JPEG, SOMEBODY, at).reason for at in (inside, now)] == [Reason.MATCHED, Reason.PHASE]
    assert [judge.decide(JPEG, SOMEBODY, at).phase for at in (inside, now)] == ["past", ""]


def test_the_first_rule_that_matches_wins(policy, now):
    rules = [SLOW | {"arms": ["treatment"]}, {"media": ["image"]}, SLOW]
    judge = Judge(policy(*rules, **ARMS))
    assert judge.decide(JPEG, Person(arm="treatment"), now).rule.name == "rule-1"
    control = judge.decide(JPEG, Person(arm="control"), now)
    assert (control.rule.name, control.reason, control.arm) == ("rule-2", Reason.UNCAPPED, "control")


def test_when_none_matches_the_condition_that_failed_last_is_the_reason(policy, now):
    wrong = [
        {"rollout": "0 %"},
        {"phases": ["past"]},
        {"arms": ["treatment"]},
        {"access": ["mobile"]},
        {"media": ["video"]},
    ]
    nobody = Person("nobody", arm="control")
    for start, reason in enumerate([Reason.ROLLOUT, Reason.PHASE, Reason.ARM, Reason.ACCESS, Reason.NO_RULE]):
        rules = [SLOW | rule for rule in wrong[start:]]
        for order in (rules, rules[::-1]):
            assert Judge(policy(*order, **ARMS, **PHASES)).decide(JPEG, nobody, now).reason is reason


@pytest.mark.parametrize("effect", [{"latency": {"mean": "1 s"}}, {"freeze_after": "16 KiB"}, {"block": "refuse"}])
def test_a_rule_without_caps_matches_if_it_does_anything(policy, now, effect):
    judge = Judge(policy({"media": ["image"]} | effect))
    assert judge.decide(JPEG, SOMEBODY, now).reason is Reason.MATCHED


def test_a_shadow_shapes_nothing_and_keeps_the_limits(policy, now):
    verdict = Judge(policy(SLOW, mode="shadow")).decide(JPEG, SOMEBODY, now)
    assert (verdict.reason, verdict.shaped) == (Reason.SHADOW, False)
    assert verdict.limits


def test_a_host_in_several_targets_is_judged_by_the_rules_of_all(policy, now):
    targets = {"one": {"hosts": ["pbs.twimg.com"]}, "other": {"hosts": ["*.twimg.com"]}}
    judge = Judge(policy(SLOW | {"target": "other"}, targets=targets))
    assert judge.decide(JPEG, SOMEBODY, now).target == "other"
    assert judge.decide(HTML, SOMEBODY, now).target == "one"


def test_levels_do_not_mix(policy, now):
    connection = {"level": "connection", "caps": [CAP | {"scope": "connection"}]}
    judge = Judge(policy(connection))
    assert judge.decide(JPEG, SOMEBODY, now).reason is Reason.NO_RULE
    assert judge.decide_connection("pbs.twimg.com", SOMEBODY, now).reason is Reason.MATCHED
    assert Judge(policy(SLOW)).decide_connection("pbs.twimg.com", SOMEBODY, now).reason is Reason.NO_RULE


def test_the_arm_is_told_even_of_what_passes(policy, now):
    judge = Judge(policy(SLOW, **ARMS))
    for facts in (HTML, Facts("pbs.twimg.com", status=304)):
        assert judge.decide(facts, Person(arm="control"), now).arm == "control"


def test_a_failing_decision_passes_the_message_and_says_so(policy, now, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError

    judge = Judge(policy(SLOW))
    monkeypatch.setattr(judge_module, "classify", fail)
    monkeypatch.setattr(judge_module, "in_force", fail)
    assert judge.decide(JPEG, SOMEBODY, now) == Verdict(Reason.ERROR)
    assert judge.decide_connection("pbs.twimg.com", SOMEBODY, now) == Verdict(Reason.ERROR)


def test_every_obstacle_has_a_reason_of_those_that_pass_traffic():
    assert {obstacle.reason for obstacle in Obstacle} == {
        *(Reason.NO_RULE, Reason.ACCESS, Reason.ARM, Reason.PHASE, Reason.ROLLOUT)
    }


hosts = st.sampled_from(["pbs.twimg.com", "twitter.com", "[::1]:443", "x.example"]) | st.text()
facts = st.builds(
    Facts,
    host=hosts,
    method=st.sampled_from(["GET", "HEAD", "POST", "CONNECT"]) | st.text(),
    status=st.integers(),
    path=st.text(),
    content_type=st.lists(st.sampled_from(["image/png", "video/mp4", "text/html"]) | st.text()).map(tuple),
    content_length=st.none() | st.integers(),
    fetch_dest=st.sampled_from(["", "image", "video"]) | st.text(),
    upgrade=st.booleans(),
    head=st.binary(),
    up=st.booleans(),
)
people = st.builds(Person, st.none() | st.text(), st.none() | st.text(), st.none() | st.text())
times = st.datetimes(timezones=st.just(UTC))
RULES = [
    SLOW | {"name": "a", "target": "t", "arms": ["treatment"], "rollout": "50 %"},
    {"name": "b", "target": "t", "media": ["image"], "phases": ["past"], "direction": "both", "freeze_after": "1 kB"},
    {"name": "c", "target": "t", "level": "connection", "access": ["mobile"]},
]
TOTAL = Judge(
    Policy.model_validate(
        {"version": 1, "study": "s", "rules": RULES, **ARMS, **PHASES}
        | {"targets": {"t": {"hosts": ["*.twimg.com", "::1", {"contains": "t"}]}}, "never": ["twitter.com"]}
    )
)


@given(facts, people, times)
def test_every_message_and_connection_gets_a_verdict(message, person, at):
    for verdict in (TOTAL.decide(message, person, at), TOTAL.decide_connection(message.host, person, at)):
        assert verdict.reason is not Reason.ERROR
        assert (verdict.rule is None) == (verdict.reason not in {Reason.MATCHED, Reason.UNCAPPED, Reason.SHADOW})
        assert bool(verdict.target) == (verdict.reason not in {Reason.UNTARGETED, Reason.NEVER})
        assert verdict.shaped == (verdict.rule is not None and verdict.rule.asks_for_something)


def test_a_verdict_among_ten_thousand_patterns_costs_about_what_it_costs_among_ten(policy, now):
    def seconds(size):
        hosts = [f"*.host{number}.example" for number in range(size)]
        judge = Judge(policy(SLOW | {"target": "t"}, targets={"t": {"hosts": hosts}}))
        message = Facts("a.host5.example", content_type=("image/jpeg",))
        best = 9.0
        for _ in range(20):
            start = perf_counter()
            for _ in range(100):
                assert judge.decide(message, SOMEBODY, now).shaped
            best = min(best, perf_counter() - start)
        return best

    assert seconds(10_000) < 5 * seconds(10)


def test_a_client_at_the_edge_of_a_rollout_is_outside(policy):
    (rule,) = policy(SLOW | {"rollout": "50 %"}).rules
    edge = Case("h", Level.MEDIA, None, "", 0.5, (), MediaClass.IMAGE)
    assert [case.obstacle(rule) for case in (edge, edge._replace(place=0.4999))] == [Obstacle.ROLLOUT, None]


def test_a_rule_about_everything_changes_nothing_for_what_is_never_shaped(policy, now):
    judge = Judge(policy({"media": ["other"], "caps": [CAP]}))
    verdict = judge.decide(Facts("pbs.twimg.com", method="HEAD"), SOMEBODY, now)
    assert (verdict.reason, verdict.rule, verdict.target) == (Reason.BODILESS, None, "media")


def test_all_phases_in_force_are_named(policy):
    phases = [{"name": name, "start": "2021-03-10T00:00Z"} for name in ("one", "two")]
    moment = datetime(2021, 3, 11, tzinfo=UTC)
    assert Judge(policy(SLOW, phases=phases)).decide(JPEG, SOMEBODY, moment).phase == "one+two"


def test_a_target_without_rules_is_a_target_all_the_same(policy, now):
    verdict = Judge(policy(SLOW)).decide(Facts("twitter.com"), SOMEBODY, now)
    assert (verdict.reason, verdict.target) == (Reason.NO_RULE, "site")


def test_what_is_remembered_is_bounded(policy, now):
    judge = Judge(policy(SLOW))
    for number in range(judge_module.REMEMBERED + 100):
        judge.decide(Facts(f"{number}.twimg.com", content_type=("image/png",)), Person(str(number)), now)
    for cache in (judge.listing, judge._drawn, judge._verdict):
        assert cache.cache_info().currsize == judge_module.REMEMBERED

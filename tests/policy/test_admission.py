"""Connections: never-listed, exempt and untargeted ones are left alone; a target's are treated alike in every arm."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shaper.policy import admission
from shaper.policy.admission import Admission, Admitted, Standing, admit
from shaper.policy.judge import Judge
from shaper.policy.load import quick
from shaper.policy.verdict import Person, Reason, Verdict

MEDIA = {"media": ["image"], "caps": [{"rate": "150 kbit/s"}]}
WHOLE = {"level": "connection", "caps": [{"scope": "connection", "rate": "150 kbit/s"}]}
ARMS = {"arms": {"control": 1, "treatment": 1}}
HOST = "pbs.twimg.com"
ANYBODY = Standing()
CONTROL, TREATMENT = Standing(Person(arm="control")), Standing(Person(arm="treatment"))


def outcome(judge, hosts, standing, now):
    admitted = admit(judge, hosts, standing, now)
    return admitted.admission, admitted.verdict.reason


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([MEDIA], (Admission.INTERCEPT, Reason.NO_RULE)),
        ([WHOLE], (Admission.SHAPE, Reason.MATCHED)),
        ([MEDIA, WHOLE], (Admission.SHAPE, Reason.MATCHED)),
        ([{"level": "connection"}], (Admission.SHAPE, Reason.UNCAPPED)),
        ([WHOLE | {"caps": [], "block": "refuse"}], (Admission.REFUSE, Reason.MATCHED)),
        ([WHOLE | {"caps": [], "block": "reset"}], (Admission.SHAPE, Reason.MATCHED)),
        ([MEDIA | {"target": "site"}], (Admission.TUNNEL, Reason.NO_RULE)),
    ],
)
def test_the_rules_of_a_target_decide_how_its_connections_are_handled(policy, now, rules, expected):
    assert outcome(Judge(policy(*rules)), [HOST], ANYBODY, now) == expected


def test_an_untargeted_host_is_tunnelled(policy, now):
    judge = Judge(policy(MEDIA))
    assert outcome(judge, ["example.org"], ANYBODY, now) == (Admission.TUNNEL, Reason.UNTARGETED)
    assert outcome(judge, [], ANYBODY, now) == (Admission.TUNNEL, Reason.UNTARGETED)


@pytest.mark.parametrize("hosts", [[HOST], ["bank.example", HOST], [HOST, "bank.example"]])
@pytest.mark.parametrize("rule", [MEDIA, WHOLE])
def test_the_never_list_wins_whichever_name_is_on_it(policy, now, hosts, rule):
    judge = Judge(policy(rule, never=["bank.example", HOST]))
    assert outcome(judge, hosts, ANYBODY, now) == (Admission.TUNNEL, Reason.NEVER)


@pytest.mark.parametrize("exempt", [Reason.NO_CONSENT, Reason.PAUSED, Reason.OVER_BUDGET])
@pytest.mark.parametrize("rule", [MEDIA, WHOLE])
def test_an_exempt_client_is_left_alone(policy, now, exempt, rule):
    assert outcome(Judge(policy(rule)), [HOST], Standing(exempt=exempt), now) == (Admission.TUNNEL, exempt)


@pytest.mark.parametrize("hosts", [[HOST, "front.example"], ["front.example", HOST]])
def test_neither_name_hides_a_targeted_one(policy, now, hosts):
    assert outcome(Judge(policy(WHOLE)), hosts, ANYBODY, now) == (Admission.SHAPE, Reason.MATCHED)


def test_of_two_targeted_names_the_first_decides(policy, now):
    judge = Judge(policy(MEDIA, WHOLE | {"target": "site"}))
    assert admit(judge, [HOST, "twitter.com"], ANYBODY, now).verdict.target == "media"
    assert admit(judge, ["twitter.com", HOST], ANYBODY, now).verdict.target == "site"


@pytest.mark.parametrize(
    ("rule", "admission_"), [(MEDIA | {"arms": ["treatment"]}, "INTERCEPT"), (WHOLE | {"arms": ["treatment"]}, "SHAPE")]
)
def test_a_target_is_handled_alike_in_every_arm(policy, now, rule, admission_):
    judge = Judge(policy(rule, **ARMS))
    admitted = [admit(judge, [HOST], standing, now) for standing in (CONTROL, TREATMENT, ANYBODY)]
    assert {each.admission for each in admitted} == {Admission[admission_]}
    assert [each.verdict.arm for each in admitted] == ["control", "treatment", ""]
    assert not admitted[0].verdict.limits


@pytest.mark.parametrize("condition", [{"rollout": "0 %"}, {"access": ["mobile"]}])
def test_a_connection_that_no_rule_reaches_is_measured_and_not_slowed(policy, now, condition):
    admitted = admit(Judge(policy(WHOLE | condition)), [HOST], ANYBODY, now)
    assert (admitted.admission, admitted.verdict.limits) == (Admission.SHAPE, ())


def test_a_shadow_refuses_nobody(policy, now):
    judge = Judge(policy(WHOLE | {"block": "refuse"}, mode="shadow"))
    assert outcome(judge, [HOST], ANYBODY, now) == (Admission.SHAPE, Reason.SHADOW)


def test_a_failing_admission_leaves_the_connection_alone(policy, now, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(admission, "_admit", fail)
    failed = admit(Judge(policy(WHOLE)), [HOST], ANYBODY, now)
    assert failed == Admitted(Admission.TUNNEL, Verdict(Reason.ERROR))


QUICK = Judge(quick(["image *.twimg.com 150 kbit/s"]))
standings = st.builds(Standing, st.builds(Person, st.none() | st.text()), st.none() | st.sampled_from(Reason))


@given(st.lists(st.sampled_from([HOST, "x.example"]) | st.text()), standings)
def test_every_connection_is_admitted_in_some_way(hosts, standing):
    admitted = admit(QUICK, hosts, standing, datetime.now(UTC))
    targeted = any(QUICK.listing(host).target for host in hosts)
    assert (admitted.admission is Admission.INTERCEPT) == (targeted and standing.exempt is None)
    assert admitted.verdict.reason is not Reason.ERROR or standing.exempt is Reason.ERROR

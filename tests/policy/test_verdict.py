"""What a verdict on a connection says of one direction."""

import pytest

from shaper.policy.judge import Judge
from shaper.policy.model import Direction
from shaper.policy.verdict import Facts, Person, Reason, Verdict

WHOLE = {"level": "connection", "caps": [{"scope": "client", "rate": "150 kbit/s"}]}
HOST = "pbs.twimg.com"


@pytest.mark.parametrize("ruled", Direction)
@pytest.mark.parametrize("asked", [Direction.UP, Direction.DOWN])
def test_a_rule_for_the_other_direction_asks_nothing_of_this_one(policy, now, ruled, asked):
    verdict = Judge(policy(WHOLE | {"direction": ruled})).decide_connection(HOST, Person(), now)
    assert (verdict.reason, len(verdict.limits)) == (Reason.MATCHED, 1)
    towards = verdict.towards(asked)
    if ruled in (asked, Direction.BOTH):
        assert towards is verdict
    else:
        assert (towards.reason, towards.limits, towards.rule) == (Reason.UNCAPPED, (), verdict.rule)
        assert towards.target == "media"


def test_without_a_rule_there_is_nothing_to_change():
    verdict = Verdict(Reason.NO_RULE)
    assert verdict.towards(Direction.UP) is verdict


def test_what_no_tunnel_hides_is_under_the_rules_for_connections_first(policy, now):
    """Each direction by itself, and by the client's own facts."""
    other_arms = {"arms": {"control": 1, "treatment": 1}}
    rules = [WHOLE | {"direction": "up", "arms": ["treatment"]}, {"media": ["image"], "caps": [{"rate": "1 Mbit/s"}]}]
    judge = Judge(policy(*rules, **other_arms))
    image, upload = Facts(HOST, content_type=("image/png",)), Facts(HOST, method="POST", up=True)
    treated, spared = Person(arm="treatment"), Person(arm="control")
    assert judge.decide_plain(upload, treated, now).reason is Reason.MATCHED
    assert judge.decide_plain(image, treated, now).reason is Reason.UNCAPPED
    decided = judge.decide_plain(image, spared, now)
    assert (decided.reason, decided.rule.name, decided.limits[0].rate) == (Reason.MATCHED, "rule-2", 125_000)


def test_what_no_tunnel_hides_is_judged_at_its_time(policy, now):
    phases = [{"name": "then", "start": "2021-03-12T00:00Z", "end": "2021-03-13T00:00Z"}]
    rules = [WHOLE | {"phases": ["then"]}, {"media": ["image"], "caps": [{"rate": "1 Mbit/s"}], "phases": ["then"]}]
    whole, single = (Judge(policy(rule, phases=phases)) for rule in rules)
    image = Facts(HOST, content_type=("image/png",))
    later = now.replace(year=2022)
    assert [judge.decide_plain(image, Person(), now).reason for judge in (whole, single)] == [Reason.MATCHED] * 2
    reasons = [judge.decide_plain(image, Person(), later).reason for judge in (whole, single)]
    assert reasons == [Reason.NO_RULE, Reason.PHASE]

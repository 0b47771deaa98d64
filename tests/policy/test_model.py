"""What no policy may say: each contradiction is refused where it stands, with the way out."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shaper.pacing.limit import Limit, Manner, Scope
from shaper.policy.model import Cap, Model, Phase, Policy, Rule
from shaper.policy.refused import RefusedError

IMAGES = {"media": ["image"]}
CAP = {"rate": "150 kbit/s"}


def refusal(make):
    with pytest.raises(ValidationError) as refused:
        make()
    error = refused.value.errors()[0]["ctx"]["error"]
    assert isinstance(error, RefusedError)
    return error


@pytest.mark.parametrize(
    ("rule", "at", "message"),
    [
        ({}, (), "no media to slow; write for example media: [image, video]"),
        (
            IMAGES | {"level": "connection"},
            ("media",),
            "a connection carries all media; remove media, or write level: media",
        ),
        (
            {"level": "connection", "caps": [CAP]},
            ("caps", 0),
            "no response can be told apart in a connection; write scope: connection",
        ),
        (
            {"level": "connection", "caps": [CAP | {"scope": "client"}, CAP | {"scope": "response"}]},
            ("caps", 1, "scope"),
            "no response can be told apart in a connection; write scope: connection",
        ),
        (
            IMAGES | {"caps": [CAP, CAP | {"manner": "police"}]},
            ("caps", 1, "manner"),
            "police allows no other cap beside it; keep one cap",
        ),
        (
            IMAGES | {"caps": [CAP | {"manner": "police"}], "after": "16 KiB"},
            ("after",),
            "police counts from the first packet on; remove after",
        ),
        (
            IMAGES | {"block": "refuse", "direction": "up"},
            ("direction",),
            "an upload cannot be delayed or blocked by its response; write direction: down",
        ),
        (
            IMAGES | {"block": "reset", "direction": "both"},
            ("direction",),
            "an upload cannot be delayed or blocked by its response; write direction: down",
        ),
        (
            {"level": "connection", "latency": {"mean": "1 s"}},
            ("latency",),
            "a connection has no response whose first byte could wait; remove latency, or write level: media",
        ),
        (IMAGES | {"after": "16 KiB"}, ("after",), "there is no cap for after to put off; add caps, or remove after"),
    ],
)
def test_a_rule_that_contradicts_itself_is_refused(rule, at, message):
    error = refusal(lambda: Rule(name="r", target="t", **rule))
    assert (error.at, str(error)) == (at, message)


@pytest.mark.parametrize(
    ("cap", "at", "message"),
    [
        ({"window": "1 s"}, ("window",), "manner smooth has no window; write manner: window"),
        ({"manner": "window", "burst": "2 KiB"}, ("burst",), "a window is its own burst; remove burst"),
        (
            {"manner": "police", "scope": "client"},
            ("scope",),
            "the kernel polices single connections; write scope: connection",
        ),
        (
            {"manner": "police", "scope": "aggregate"},
            ("scope",),
            "the kernel polices single connections; write scope: connection",
        ),
    ],
)
def test_a_cap_that_contradicts_itself_is_refused(cap, at, message):
    error = refusal(lambda: Cap(**CAP, **cap))
    assert (error.at, str(error)) == (at, message)


@pytest.mark.parametrize(
    ("latency", "message"),
    [
        ({"jitter": "5 ms"}, "constant latency has no jitter; write distribution: uniform or normal"),
        (
            {"jitter": "50 ms", "distribution": "uniform"},
            "jitter above the mean would be negative delay; lower the jitter",
        ),
    ],
)
def test_a_latency_that_contradicts_itself_is_refused(policy, latency, message):
    error = refusal(lambda: policy(IMAGES | {"latency": {"mean": "20 ms"} | latency}))
    assert (error.at, str(error)) == (("jitter",), message)


def test_a_uniform_latency_may_go_down_to_nothing(policy):
    latency = (
        policy(IMAGES | {"latency": {"mean": "20 ms", "jitter": "20 ms", "distribution": "uniform"}}).rules[0].latency
    )
    assert (latency.mean, latency.jitter) == (0.02, 0.02)


@pytest.mark.parametrize(
    ("rules", "keys", "at", "message"),
    [
        (
            [IMAGES | {"target": "nobody"}],
            {},
            ("rules", 0, "target"),
            'there is no target "nobody"; define it under targets',
        ),
        ([IMAGES, IMAGES | {"arms": ["a"]}], {}, ("rules", 1, "arms"), 'there is no arm "a"; define it under arms'),
        ([IMAGES | {"phases": ["p"]}], {}, ("rules", 0, "phases"), 'there is no phase "p"; define it under phases'),
        ([IMAGES | {"name": "r"}] * 2, {}, ("rules", 1, "name"), 'another rule is named "r"; rename one'),
        (
            [IMAGES],
            {"phases": [{"name": "p", "start": f"2021-03-1{day}T00:00Z"} for day in "01"]},
            ("phases", 1, "start"),
            'it overlaps another stretch of "p"; move start or end',
        ),
        (
            [IMAGES | {"caps": [CAP | {"manner": "police"}]}],
            {"mode": "shadow"},
            ("mode",),
            "what dropped packets cost is up to their sender, and cannot be computed; "
            "write manner: smooth or window in its caps",
        ),
    ],
)
def test_a_policy_whose_parts_do_not_fit_is_refused(policy, rules, keys, at, message):
    error = refusal(lambda: policy(*rules, **keys))
    assert (error.at, str(error)) == (at, message)


def test_a_phase_that_ends_before_it_starts_is_refused():
    error = refusal(lambda: Phase(name="p", start="2021-03-10T10:00+03:00", end="2021-03-10T07:00Z"))
    assert (error.at, str(error)) == (("end",), "end is not after start; write a later end")


def test_a_phase_may_come_again(policy):
    nights = [{"name": "night", "start": f"2021-03-1{d}T22:00Z", "end": f"2021-03-1{d + 1}T06:00Z"} for d in range(3)]
    assert len(policy(IMAGES, phases=nights).phases) == 3


def test_a_policy_without_rules_or_targets_is_refused(policy):
    for make in (policy, lambda: policy(IMAGES, targets={})):
        with pytest.raises(ValidationError, match="at least 1 item"):
            make()


def test_a_policy_cannot_be_changed(policy):
    with pytest.raises(ValidationError, match="frozen"):
        policy(IMAGES).study = "another"


def test_a_limit_is_the_cap_in_bytes_per_second():
    cap = Cap(scope="client", rate="150 kbit/s", manner="window", window="2 s")
    assert cap.limit == Limit(Scope.CLIENT, 18_750, 2_048, Manner.WINDOW, 2)


@given(st.permutations(list(Scope)))
def test_limits_go_from_the_narrowest_scope_to_the_widest(scopes):
    rule = Rule(name="r", target="t", media=("image",), caps=[CAP | {"scope": scope} for scope in scopes])
    assert [limit.scope for limit in rule.limits] == ["response", "connection", "client", "aggregate"]


@pytest.mark.parametrize(
    "effect", [{"caps": [CAP]}, {"freeze_after": "0 B"}, {"latency": {"mean": "1 s"}}, {"block": "reset"}]
)
def test_a_rule_with_any_effect_asks_for_something(policy, effect):
    assert policy(IMAGES | effect).rules[0].asks_for_something
    assert not policy(IMAGES).rules[0].asks_for_something


def test_only_hosts_whose_responses_are_told_apart_are_intercepted(policy):
    site = {"target": "site", "level": "connection", "caps": [CAP | {"scope": "connection"}]}
    assert policy(IMAGES, IMAGES, site).intercepted == ("*.twimg.com",)
    assert policy(site).intercepted == ()


def test_a_digest_is_over_all_that_is_said(policy):
    assert policy(IMAGES).digest == policy(IMAGES).digest
    assert policy(IMAGES).digest != policy(IMAGES, mode="shadow").digest
    assert policy(IMAGES).digest.startswith("sha256:")


def test_quantities_are_written_with_their_units(policy):
    written = json.loads(policy(IMAGES | {"caps": [CAP], "rollout": "50 %"}).model_dump_json())
    assert written["rules"][0]["rollout"] == "50 %"
    assert written["rules"][0]["caps"][0]["burst"] == "2 KiB"
    assert written["forget_after"] == "10 min"


def test_every_key_has_a_description_for_editors():
    models = [Policy, *Model.__subclasses__()]
    keys = {f"{model.__name__}.{key}": field for model in models for key, field in model.model_fields.items()}
    assert [name for name, field in keys.items() if not field.description] == []

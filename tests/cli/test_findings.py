"""The demo's verdict on figures made up for it: each check fails when it should, and not otherwise."""

from dataclasses import replace

import pytest

from shaper.cli.demonstration import control, due, page_for
from shaper.cli.findings import AGREEMENT, COLLATERAL, Findings, Trial
from shaper.cli.shipped import shipped
from shaper.cli.visit import Resource
from shaper.lab.payload import digest
from shaper.measure.fetched import Fetched, Read
from shaper.measure.run import Outcome
from shaper.policy.load import load
from shaper.policy.media import MediaClass
from shaper.policy.verdict import Reason
from shaper.record.transfer import Outcome as Ending
from shaper.record.transfer import TransferRecord

POLICY = load(shipped("twitter-2021-announced"))
PAGE = page_for(POLICY)
RATE, BURST = 150_000, 2048


def fetched(resource, rate=None, **changes):
    size = resource.body.size
    seconds = (size - BURST) * 8 / rate if rate and size > BURST else 0.0
    reads = (Read(0, 0.01, BURST), Read(0.01, 0.01 + seconds, size - BURST)) if seconds else (Read(0, 0.01, size),)
    whole = Fetched(
        url="", outcome=Outcome.COMPLETE, protocol="h2", status=200, duration=0.01 + seconds, size=size,
        sha256=digest(resource.body), reads=reads,
    )  # fmt: skip
    return replace(whole, **changes)


def trial(resource, **changes):
    verdict = due(POLICY, resource)
    shaped = fetched(resource, RATE if verdict.shaped else None)
    record = None
    if verdict.reason is not Reason.UNTARGETED:
        record = TransferRecord(
            id="", time="", study="", policy="", rule=verdict.rule.name if verdict.rule else "", media=resource.media,
            reason=verdict.reason, outcome=Ending.COMPLETE, size=shaped.size, received=shaped.size,
            origin_ttfb=0.0, client_ttfb=0.0, origin_duration=0.0, duration=shaped.duration, waiting=0.0,
            receiving=0.0, held=shaped.duration if verdict.shaped else 0.0, stalled=0.0,
        )  # fmt: skip
    return replace(Trial(resource, "h2", verdict, fetched(resource), shaped, record), **changes)


GOOD = [trial(resource) for resource in PAGE.resources]
DAWN = GOOD.index(next(each for each in GOOD if each.resource.path == "/photos/dawn.jpg"))
TEXT = GOOD.index(next(each for each in GOOD if each.resource.path == "/page.js"))
ELSEWHERE = GOOD.index(next(each for each in GOOD if each.resource.host == PAGE.elsewhere))


def failing(*changed, tolerance=0.05):
    trials = list(GOOD)
    for place, changes in changed:
        trials[place] = replace(trials[place], **changes)
    findings = Findings(POLICY, PAGE, trials, tolerance, 1.0)
    failed = {check.name for check in findings.checks() if not check.ok}
    assert findings.ok != bool(failed)
    return failed


def test_good_figures_pass():
    assert failing() == set()


@pytest.mark.parametrize(
    "wrong",
    [{"sha256": "0" * 64}, {"outcome": Outcome.TIMEOUT, "error": "not complete"}, {"status": 502}, {"protocol": "h1"}],
)
def test_a_body_that_is_not_whole_fails(wrong):
    resource = GOOD[DAWN].resource
    assert failing((DAWN, {"shaped": fetched(resource, RATE, **wrong)})) == {"bodies"}
    assert failing((DAWN, {"free": fetched(resource, **wrong)})) == {"bodies"}


@pytest.mark.parametrize("wrong", [{"media": MediaClass.VIDEO}, {"rule": "other"}, {"reason": Reason.NO_RULE}])
def test_a_response_judged_otherwise_than_the_policy_says_fails(wrong):
    assert failing((DAWN, {"record": replace(GOOD[DAWN].record, **wrong)})) == {"classes"}


def test_a_missing_record_of_a_target_and_a_record_of_another_host_fail():
    assert failing((DAWN, {"record": None})) == {"classes"}
    assert failing((ELSEWHERE, {"record": GOOD[TEXT].record})) == {"classes"}


@pytest.mark.parametrize(("factor", "ok"), [(0.94, False), (0.96, True), (1.04, True), (1.06, False)])
def test_a_rate_off_its_cap_fails(factor, ok):
    shaped = fetched(GOOD[DAWN].resource, RATE * factor)
    record = replace(GOOD[DAWN].record, duration=shaped.duration)
    assert failing((DAWN, {"shaped": shaped, "record": record})) == (set() if ok else {"rates"})
    assert failing((DAWN, {"shaped": shaped, "record": record}), tolerance=0.07) == set()


def test_a_picture_that_was_not_slowed_fails():
    assert "rates" in failing((DAWN, {"shaped": fetched(GOOD[DAWN].resource, 10e6)}))
    assert "rates" in failing((DAWN, {"shaped": fetched(GOOD[DAWN].resource)}))


def test_something_else_that_came_late_fails():
    for place in (TEXT, ELSEWHERE):
        late = fetched(GOOD[place].resource, duration=COLLATERAL + 0.02)
        record = GOOD[place].record and replace(GOOD[place].record, duration=late.duration)
        assert failing((place, {"shaped": late, "record": record})) == {"collateral"}


def test_something_else_that_the_proxy_held_fails():
    assert failing((TEXT, {"record": replace(GOOD[TEXT].record, held=0.001)})) == {"collateral"}


def test_a_host_that_is_no_target_must_show_its_own_certificate():
    refused = fetched(GOOD[ELSEWHERE].resource, outcome=Outcome.ERROR, error="no connection: certificate verify failed")
    assert failing((ELSEWHERE, {"shaped": refused})) == {"bodies", "tunnel"}


def test_clocks_that_disagree_fail():
    record = replace(GOOD[DAWN].record, duration=GOOD[DAWN].shaped.duration + AGREEMENT + 0.01)
    assert failing((DAWN, {"record": record})) == {"clocks"}


def test_what_was_fetched_again_is_said():
    trials = [replace(each, earlier=(-0.2,)) if each is GOOD[DAWN] else each for each in GOOD]
    rates = next(c for c in Findings(POLICY, PAGE, trials, 0.05, 1.0).checks() if c.name == "rates")
    assert "fetched again after being off by -20.0%" in rates.says


def test_the_control_has_the_same_rules_and_none_of_their_effects():
    without = control(POLICY)
    assert without.digest != POLICY.digest
    assert [rule.name for rule in without.rules] == [rule.name for rule in POLICY.rules]
    for resource in PAGE.resources:
        verdict = due(without, resource)
        assert verdict.limits == ()
        assert (verdict.reason is Reason.UNCAPPED) is due(POLICY, resource).shaped


def test_the_page_is_on_hosts_that_the_policy_targets_and_one_that_it_does_not():
    assert PAGE.hosts == ("pbs.twimg.com", "video.twimg.com", "example.org")
    assert due(POLICY, Resource(PAGE.elsewhere, "/photos/dawn.jpg")).reason is Reason.UNTARGETED
    assert len({resource.body.size for resource in {*PAGE.together, *PAGE.in_turn}}) == 12  # to find records by

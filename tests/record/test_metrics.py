"""What the metrics count, and that traffic cannot make them grow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shaper.policy.admission import Admission
from shaper.policy.verdict import Reason
from shaper.record.fallback import Fallback
from shaper.record.families import UNLISTED
from shaper.record.metrics import Metrics
from shaper.record.transfer import Outcome


def value(metrics, name, **labels):
    return metrics.registry.get_sample_value(f"shaper_{name}", {k: str(v) for k, v in labels.items()})


def series(metrics):
    return {
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in metrics.registry.collect()
        for sample in family.samples
    }


PHOTO = {"media": "image", "rule": "photos", "arm": "treatment"}
OTHER_RULE = {"name": "sounds", "target": "media", "media": ["audio"]}


def test_a_response_is_counted_with_its_verdict_its_outcome_and_its_bytes(metrics, make_record):
    metrics.record(make_record())
    verdict = PHOTO | {"reason": "matched", "phase": "slow"}
    assert value(metrics, "responses_total", **verdict, outcome="complete") == 1
    assert value(metrics, "response_bytes_total", **verdict, shaped="true") == 100_000


def test_times_are_kept_apart_for_the_origin_and_the_client(metrics, make_record):
    metrics.record(make_record())
    assert value(metrics, "response_ttfb_seconds_sum", **PHOTO, side="origin") == 0.02
    assert value(metrics, "response_ttfb_seconds_sum", **PHOTO, side="client") == 0.021
    assert value(metrics, "response_duration_seconds_sum", **PHOTO, side="origin") == 0.1
    assert value(metrics, "response_duration_seconds_sum", **PHOTO, side="client") == 5.3125


def test_the_waits_of_a_transfer_sum_to_its_duration(metrics, make_record):
    record = make_record()
    metrics.record(record)
    waits = {
        wait: value(metrics, "transfer_wait_seconds_total", **PHOTO, wait=wait)
        for wait in ("origin", "receiving", "shaper", "client")
    }
    assert waits == {"origin": 0.0625, "receiving": 0.125, "shaper": 5.0, "client": 0.125}
    assert sum(waits.values()) == record.duration


def test_times_that_never_came_are_not_observed(metrics, make_record):
    metrics.record(make_record(origin_ttfb=None, client_ttfb=None, origin_duration=None, rate_ratio=None))
    assert value(metrics, "response_ttfb_seconds_count", **PHOTO, side="client") is None
    assert value(metrics, "rate_ratio_count", **PHOTO) is None
    assert value(metrics, "response_duration_seconds_count", **PHOTO, side="client") == 1


def test_only_a_shaped_transfer_is_observed_as_held(metrics, make_record):
    metrics.record(make_record(reason="uncapped", held=0.0))
    assert value(metrics, "held_seconds_count", **PHOTO) is None
    metrics.record(make_record())
    assert value(metrics, "held_seconds_sum", **PHOTO) == 5.0


def test_a_tunnel_or_an_upload_is_no_response_but_keeps_its_ledger(metrics, make_record):
    metrics.record(make_record(level="connection", direction="up"))
    metrics.record(make_record(direction="up"))
    assert not [name for name, _ in series(metrics) if name == "shaper_responses_total"]
    whose = {"rule": "photos", "arm": "treatment", "phase": "slow"}
    assert value(metrics, "tunnel_bytes_total", direction="up", **whose) == 100_000
    assert value(metrics, "transfer_wait_seconds_total", **PHOTO, wait="shaper") == 10.0
    assert value(metrics, "rate_ratio_count", **PHOTO) == 2


@pytest.mark.parametrize(
    ("outcome", "side", "count"),
    [
        (Outcome.CLIENT_ABORT, "client", 1),
        (Outcome.ORIGIN_ABORT, "origin", 1),
        (Outcome.COMPLETE, "client", 0),
        (Outcome.SHUTDOWN, "origin", 0),
    ],
)
def test_an_abort_is_counted_for_the_side_that_left(metrics, make_record, outcome, side, count):
    metrics.record(make_record(outcome=outcome))
    assert value(metrics, "aborts_total", side=side) == count


def test_a_shadow_estimate_is_counted_for_the_policy_it_asks(make_policy, make_record):
    metrics = Metrics()
    metrics.policy_loaded(make_policy(mode="shadow"), shadows=[make_policy(study="slower")])
    metrics.record(make_record(reason="shadow", estimate={"slower": 4.5, "foreign": 1.0}))
    assert value(metrics, "shadow_delay_seconds_total", policy="slower", media="image") == 4.5
    assert value(metrics, "shadow_delay_seconds_total", policy=UNLISTED, media="image") == 1.0


def test_a_bucket_leads_to_a_journal_line_through_its_exemplar(metrics, make_record):
    metrics.record(make_record(id="feedbeef"))
    exemplars = {
        (family.name, sample.exemplar.labels["record"])
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.exemplar
    }
    families = ("response_ttfb_seconds", "response_duration_seconds", "held_seconds", "rate_ratio")
    assert exemplars == {(f"shaper_{family}", "feedbeef") for family in families}


words = st.text(max_size=20).map("from traffic {}".format)


@given(st.lists(words, min_size=6, max_size=6))
def test_a_word_from_traffic_never_becomes_a_label(make_policy, make_record, names):
    media, rule, arm, phase, reason, direction = names
    metrics = Metrics()
    metrics.policy_loaded(make_policy())
    metrics.record(make_record(media=media, rule=rule, arm=arm, phase=phase, reason=reason, estimate={rule: 1.0}))
    metrics.tunnel_bytes(direction, 1, rule, arm, phase)
    metrics.under_way({(media, True): 1})
    metrics.volunteers(joined=1, active=1, expiring=0, arms={arm: 1})
    labels = {value for _, labels in series(metrics) for _, value in labels}
    assert UNLISTED in labels
    assert not [label for label in labels if "from traffic" in label]


def test_a_retired_policys_names_stay_listed_for_transfers_under_way(metrics, make_policy, make_record):
    metrics.policy_loaded(make_policy(rules=[OTHER_RULE], study="next"))
    metrics.record(make_record(rule="photos"))
    assert value(metrics, "responses_total", **PHOTO, reason="matched", phase="slow", outcome="complete") == 1


def test_exactly_one_policy_is_in_force(metrics, make_policy, policy):
    metrics.policy_loaded(policy)
    metrics.policy_loaded(other := make_policy(study="other", mode="shadow"))
    infos = [dict(labels) for name, labels in series(metrics) if name == "shaper_policy_info"]
    assert infos == [{"study": "other", "digest": other.digest, "mode": "shadow"}]


def test_a_refused_reload_leaves_the_policy_and_says_so(metrics, policy):
    metrics.policy_refused()
    assert value(metrics, "reload_success") == 0
    assert value(metrics, "reloads_total", result="refused") == 1
    assert value(metrics, "policy_info", study=policy.study, digest=policy.digest, mode="enforce") == 1
    metrics.policy_loaded(policy)
    assert value(metrics, "reload_success") == 1
    assert value(metrics, "reload_timestamp_seconds") == 1000.0


def test_the_phase_in_force_survives_a_reload_and_a_dropped_phase_does_not(metrics, policy, make_policy):
    assert value(metrics, "phase_active", phase="slow") == 0
    metrics.phase(["slow"])
    metrics.policy_loaded(policy)
    assert value(metrics, "phase_active", phase="slow") == 1
    assert value(metrics, "phase_active", phase="before") == 0
    metrics.policy_loaded(make_policy(phases=()))
    assert value(metrics, "phase_active", phase="slow") is None


def test_a_calibration_ends_by_itself():
    now = [1000.0]
    metrics = Metrics(clock=lambda: now[0])
    assert value(metrics, "calibration_valid") == 0
    metrics.calibration(2000.0, "sha256:ab")
    assert value(metrics, "calibration_valid") == 1
    assert value(metrics, "calibration_info", digest="sha256:ab") == 1
    now[0] = 2000.0
    assert value(metrics, "calibration_valid") == 0
    metrics.calibration(None)
    assert value(metrics, "calibration_expiry_timestamp_seconds") == 0
    assert value(metrics, "calibration_info", digest="sha256:ab") is None


def test_state_is_told_just_before_a_scrape(metrics):
    held = [0]
    metrics.before_scrape(lambda: metrics.pacing(backlog=held[0], gated=3, quantum=0.02))
    held[0] = 777
    series(metrics)
    assert value(metrics, "backlog_bytes") == 777
    assert value(metrics, "gated_origins") == 3
    assert value(metrics, "pacing_quantum_seconds") == 0.02


def test_a_state_that_cannot_be_told_spoils_no_scrape_and_is_logged_once(metrics, caplog):
    metrics.before_scrape(lambda: 1 / 0)
    metrics.before_scrape(lambda: metrics.pacing(backlog=1, gated=0, quantum=0.02))
    series(metrics)
    assert ("shaper_policy_info", "twitter-2021") in {
        (name, dict(labels).get("study")) for name, labels in series(metrics)
    }
    assert value(metrics, "backlog_bytes") == 1
    assert caplog.messages == ["Some gauges cannot be brought up to date."]


def test_transfers_under_way_come_back_to_zero(metrics):
    metrics.under_way({("image", True): 2})
    assert value(metrics, "active_transfers", media="image", shaped="true") == 2
    assert value(metrics, "active_transfers", media="video", shaped="true") == 0
    metrics.under_way({})
    assert value(metrics, "active_transfers", media="image", shaped="true") == 0


def test_phases_that_are_in_force_together_are_one_label(metrics, make_record):
    metrics.record(make_record(level="connection", phase="before+slow"))
    metrics.record(make_record(level="connection", phase="slow+before"))  # never: the policy's order is kept
    whose = {"direction": "down", "rule": "photos", "arm": "treatment"}
    assert value(metrics, "tunnel_bytes_total", **whose, phase="before+slow") == 100_000
    assert value(metrics, "tunnel_bytes_total", **whose, phase=UNLISTED) == 100_000


def test_held_back_time_adds_up(metrics):
    metrics.gate_opened(1.5)
    metrics.gate_opened(0.5)
    assert value(metrics, "gated_seconds_total") == 2.0


def test_connections_tunnels_and_fallbacks_are_counted_by_reason(metrics):
    metrics.connection(Admission.TUNNEL, Reason.UNTARGETED)
    metrics.tunnel_bytes("down", 512)
    metrics.fallback(Fallback.VERDICT)
    assert value(metrics, "connections_total", admission="tunnelled", reason="untargeted") == 1
    assert value(metrics, "tunnel_bytes_total", direction="down", rule="", arm="", phase="") == 512
    assert value(metrics, "fallbacks_total", reason="verdict") == 1
    assert value(metrics, "fallbacks_total", reason="tls") == 0


def test_two_proxies_in_one_process_do_not_share_a_metric(metrics, make_record):
    other = Metrics()
    metrics.record(make_record())
    assert value(other, "responses_total", **PHOTO, reason="matched", phase="slow", outcome="complete") is None

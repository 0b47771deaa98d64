"""The lab sees and changes the running proxy through the API, and every change is written down."""

import pytest
from remembering_proxy import CONFIGURATION, TEXT, TOKEN, VIDEO, underway

from shaper.onboarding.control.app import make_control
from shaper.onboarding.control.operation import OPERATIONS
from shaper.policy.load import loads
from shaper.policy.refused import RefusedError

YAML = "application/yaml"


def test_the_status_tells_of_proxy_volunteers_and_refusals(ask, roster):
    pseudonym, _ = roster.enrol()
    roster.enrol()
    roster.consent(pseudonym, "text", "en")
    ask("GET", "/v1/nothing")
    answer = ask("GET", "/v1/status").json
    assert answer["proxy"]["study"] == "study"
    assert answer["proxy"]["phases"] == ["P0"]
    assert answer["volunteers"] == {"taking-part": 1, "invited": 1}
    assert answer["refused"] == {"404": 1}


def test_the_configuration_is_shown_with_the_terms(ask, roster):
    answer = ask("GET", "/v1/configuration").json
    assert answer["configuration"]["contact"] == "lab@lab.example"
    assert answer["terms"]["consent"] == roster.terms.consent


def test_the_policy_is_shown_with_its_digest(ask, lab):
    answer = ask("GET", "/v1/policy").json
    assert answer["digest"] == lab.current.digest
    assert answer["policy"]["rules"][0]["caps"][0]["rate"] == "150 kbit/s"


def test_a_policy_is_applied_and_its_predecessor_named(ask, lab):
    before = lab.current.digest
    answer = ask("PUT", "/v1/policy", data=VIDEO, content_type=YAML)
    assert answer.json == {"digest": loads(VIDEO, "x").digest, "replaced": before}
    assert lab.current == loads(VIDEO, "x")


def test_a_policy_that_is_not_valid_changes_nothing_and_says_why_on_one_line(ask, lab):
    answer = ask("PUT", "/v1/policy", data=TEXT.replace("150 kbit/s", "2 Mbps/s"), content_type=YAML)
    assert answer.status_code == 422
    assert answer.json["detail"].startswith('policy:5: rule "slow": "2 Mbps/s" is not a rate')
    assert lab.current == loads(TEXT, "x")


def test_a_policy_that_the_proxy_cannot_take_is_a_conflict(ask, lab):
    lab.refusal = RefusedError("CA: does not cover the target x", "start anew")
    answer = ask("PUT", "/v1/policy", data=VIDEO, content_type=YAML)
    assert (answer.status_code, answer.json["detail"]) == (409, "CA: does not cover the target x; start anew")


def test_a_dry_run_tells_what_would_change_and_changes_nothing(ask, lab):
    lab.picture()
    lab.picture()
    answer = ask("POST", "/v1/policy/dry-run", data=VIDEO, content_type=YAML).json
    assert (answer["decisions"], answer["changed"], answer["in_force"]) == (2, 2, lab.current.digest)
    assert answer["changes"] == [
        {
            "before": {"action": "image", "reason": "matched", "rule": "slow"},
            "after": {"action": "image", "reason": "no-rule", "rule": ""},
            "count": 2,
        }
    ]
    assert lab.current == loads(TEXT, "x")


def test_a_dry_run_of_the_policy_in_force_changes_nothing(ask, lab):
    lab.picture()
    answer = ask("POST", "/v1/policy/dry-run", data=TEXT, content_type=YAML).json
    assert (answer["decisions"], answer["changed"], answer["changes"]) == (1, 0, [])


def test_the_file_is_read_again(ask, lab):
    lab.file = lambda: loads(VIDEO, "lab.yaml")
    assert ask("POST", "/v1/policy/reload").json["digest"] == loads(VIDEO, "x").digest
    lab.file = lambda: loads("nonsense", "lab.yaml")
    answer = ask("POST", "/v1/policy/reload")
    assert (answer.status_code, answer.json["detail"].startswith("lab.yaml")) == (422, True)


def test_study_time_is_held_in_a_phase_and_let_go(ask, lab):
    assert ask("PUT", "/v1/phase", json={"phase": "P0"}).json == {"phase": "P0"}
    assert lab.phase == "P0"
    assert ask("PUT", "/v1/phase", json={"phase": "P9"}).status_code == 422
    assert lab.phase == "P0"
    assert ask("PUT", "/v1/phase", json={"phase": None}).json == {"phase": None}
    assert lab.phase is None


def test_everything_is_paused_and_resumed(ask, lab):
    assert ask("PUT", "/v1/pause", json={"paused": True}).json == {"paused": True}
    assert lab.paused
    ask("PUT", "/v1/pause", json={"paused": False})
    assert not lab.paused


def test_transfers_under_way_are_listed(ask, lab):
    lab.under_way = [underway(size=1), underway(client=None, rate=None)]
    answer = ask("GET", "/v1/transfers").json["transfers"]
    assert [(one["size"], one["client"], one["rate"]) for one in answer] == [
        (1, "ann", 150_000.0),
        (37_500, None, None),
    ]


def test_volunteers_are_listed_by_pseudonym_and_nothing_else(ask, roster):
    pseudonym, credential = roster.enrol(access="mobile")
    answer = ask("GET", "/v1/volunteers")
    assert answer.json["volunteers"] == [
        {
            "pseudonym": pseudonym, "state": "invited", "arm": None, "access": "mobile", "consent_expires": None,
            "used_today": 0,
        }
    ]  # fmt: skip
    assert credential.username not in answer.text


def test_an_export_suppresses_small_cells(ask, roster):
    for _ in range(5):
        roster.enrol(access="fixed")
    roster.enrol(access="mobile")
    assert ask("GET", "/v1/export").json == {
        "least": 5,
        "cells": [{"state": "invited", "arm": None, "access": "fixed", "volunteers": 5}],
        "suppressed": 1,
    }


def test_changes_and_refusals_and_looks_at_people_are_in_the_audit_log(ask, lab):
    ask("PUT", "/v1/policy", data=VIDEO, content_type=YAML)
    ask("PUT", "/v1/phase", json={"phase": "P9"}, headers={"Operator": None})
    ask("GET", "/v1/volunteers")
    ask("GET", "/v1/status")
    entries = ask("GET", "/v1/audit").json["entries"]
    assert [(one["who"], one["action"], one["outcome"]) for one in entries] == [
        ("ann", "volunteers", "done"),
        ("unnamed", "phase", "refused"),
        ("ann", "apply", "done"),
    ]
    assert entries[1]["detail"] == {"phase": "P9", "why": 'there is no phase "P9"; name "P0"'}
    assert entries[2]["detail"]["policy"] == lab.current.digest
    assert len(ask("GET", "/v1/audit?limit=1").json["entries"]) == 1


def test_without_volunteers_there_are_none(lab, log):
    client = make_control(lab, CONFIGURATION, TOKEN, log).test_client()
    headers = {"Authorization": f"Bearer {TOKEN}", "Host": "127.0.0.1"}
    assert client.get("/v1/volunteers", headers=headers).json == {"volunteers": []}


def test_the_document_names_every_operation_and_no_other_route_is_served(ask, app):
    described = {
        (method.upper(), path) for path, item in ask("GET", "/openapi.json").json["paths"].items() for method in item
    }
    assert described == {(one.method, one.path) for one in OPERATIONS}
    rules = [rule for rule in app.url_map.iter_rules() if not rule.endpoint.startswith("page.")]
    routes = {(method, rule.rule) for rule in rules for method in rule.methods - {"HEAD"}}
    assert routes == described | {("GET", "/openapi.json")}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.name)
def test_every_operation_is_described_in_a_sentence(operation):
    assert operation.summary.endswith(".")

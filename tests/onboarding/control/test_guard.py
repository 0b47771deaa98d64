"""Nobody but the token's holder gets in, and whatever is refused is refused with a problem and counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from remembering_proxy import CONFIGURATION, TOKEN, RememberingProxy

from shaper.onboarding.control.api import Api
from shaper.onboarding.control.operation import OPERATIONS
from shaper.policy.load import MAX_BYTES, PolicyError

PROBLEM = "application/problem+json"


def refusals(ask):
    return ask("GET", "/v1/status").json["refused"]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.name)
@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x"]
)
def test_no_operation_is_done_without_the_token(ask, log, operation, authorization):
    answer = ask(operation.method, operation.path, headers={"Authorization": authorization})
    assert (answer.status_code, answer.content_type) == (401, PROBLEM)
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert log.newest(10) == []
    assert refusals(ask) == {"401": 1}


def test_the_document_is_not_for_strangers_either(ask):
    assert ask("GET", "/openapi.json", headers={"Authorization": None}).status_code == 401


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "192.0.2.1", "localhost.evil.example:80"])
def test_a_name_that_was_rebound_to_this_machine_is_refused(ask, host):
    assert ask("GET", "/v1/status", headers={"Host": host}).status_code == 400
    assert refusals(ask) == {"400": 1}


def test_a_form_of_another_site_changes_nothing(ask, lab):
    """A browser sends forms anywhere, with these three types, and no header of the sender's choice."""
    for kind in ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain"):
        for headers, status in (({"Authorization": None}, 401), ({}, 415)):
            answer = ask("PUT", "/v1/pause", data='{"paused": true}', content_type=kind, headers=headers)
            assert answer.status_code == status
    assert not lab.paused
    assert refusals(ask) == {"401": 3, "415": 3}


def test_no_other_site_may_read_an_answer(ask):
    answer = ask("GET", "/v1/status", headers={"Origin": "https://evil.example"})
    assert not [name for name, _ in answer.headers if name.lower().startswith("access-control")]
    assert ask("OPTIONS", "/v1/status", headers={"Origin": "https://evil.example"}).status_code == 405


@pytest.mark.parametrize(
    "body",
    ["", "{", "[]", "null", "{}", '{"paused": 1}', '{"paused": "true"}', '{"paused": true, "x": 1}', '{"paused": NaN}',
     "\ufeff{}", '{"paused": true} x', "[" * 100_000],
)  # fmt: skip
def test_a_malformed_body_is_refused(ask, lab, body):
    answer = ask("PUT", "/v1/pause", data=body.encode(), content_type="application/json")
    assert (answer.status_code, answer.content_type) == (400, PROBLEM)
    assert not lab.paused


@given(st.binary(max_size=100))
def test_no_body_breaks_the_policy_operations(body):
    with pytest.raises(PolicyError):
        Api(RememberingProxy(), CONFIGURATION, None, None, {}).dry_run(body)


def test_an_oversized_body_is_refused_before_it_is_read(ask, lab):
    answer = ask("PUT", "/v1/policy", data=b"#" * (MAX_BYTES + 1), content_type="application/yaml")
    assert answer.status_code == 413
    assert refusals(ask) == {"413": 1}


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "1.5", "x", "", "٣", "1" * 5000, "1\r\nX: y"])
def test_a_limit_out_of_range_is_refused(ask, limit):
    assert ask("GET", "/v1/audit", query_string={"limit": limit}).status_code == 400


@pytest.mark.parametrize("name", ["a b", "é", "x" * 65, "", "a;b"])
def test_an_operator_whose_name_could_confuse_the_log_is_refused(ask, log, name):
    assert ask("PUT", "/v1/pause", json={"paused": True}, headers={"Operator": name}).status_code == 400
    assert log.newest(1) == []


def test_a_phase_with_control_characters_reaches_the_log_as_one_line(ask, log):
    ask("PUT", "/v1/phase", json={"phase": 'P0\r\n{"who": "x"}\u2028'})
    assert [entry.outcome for entry in log.newest(10)] == ["refused"]
    assert log.path.read_bytes().count(b"\n") == 1


def test_a_wrong_method_names_the_right_one(ask):
    answer = ask("POST", "/v1/status")
    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]


def test_a_defect_is_a_problem_without_a_traceback(ask, lab):
    lab.status = lambda: 1 / 0
    answer = ask("GET", "/v1/status")
    assert (answer.status_code, answer.content_type) == (500, PROBLEM)
    assert "ZeroDivision" not in answer.text


def test_answers_are_kept_by_no_cache(ask):
    for path in ("/v1/status", "/nothing"):
        answer = ask("GET", path)
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"

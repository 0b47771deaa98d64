"""The shipped policies: each decides as its golden table says, cites its sources and owns up to its limits.

A table's columns are the facts (host, Content-Type, study time, kind of access, client), what becomes of the
connection, and the verdict with what it does. `-` is a fact that is not known.
"""

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from shaper.cli.main import main
from shaper.pacing.limit import Manner
from shaper.policy.admission import Admission, Standing, admit
from shaper.policy.assignment import Assignment
from shaper.policy.judge import Judge
from shaper.policy.lint import Kind, lint
from shaper.policy.load import load
from shaper.policy.units import format_duration, format_rate, format_size, parse_moment
from shaper.policy.verdict import Facts, Person

ROOT = Path(__file__).parents[2]
POLICIES = {path.stem: load(path) for path in sorted((ROOT / "policies").glob("*.yaml"))}
EPISODES = {name: policy for name, policy in POLICIES.items() if re.search(r"-20\d\d", name)}
VERDICTS = Path(__file__).parents[1] / "golden" / "verdicts"
COLUMNS = ["host", "type", "at", "access", "client", "connection", "rule", "reason", "does"]
KEY = b"golden"


def table(path):
    lines = [line.split("\t") for line in path.read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == COLUMNS
    return lines[1:]


def does(rule):
    """What a rule does, in the words of a policy file."""
    parts = []
    for cap in rule.caps:
        spread = f"window {format_duration(cap.window)}"
        if cap.manner is not Manner.WINDOW:
            spread = f"{cap.manner} burst {format_size(cap.burst)}"
        parts.append(f"{cap.scope} {format_rate(cap.rate)} {spread} {rule.direction}")
    parts += [f"after {format_size(rule.after)}"] if rule.after else []
    parts += [f"freeze_after {format_size(rule.freeze_after)}"] if rule.freeze_after is not None else []
    parts += [f"latency {rule.latency.distribution} {format_duration(rule.latency.mean)}"] if rule.latency else []
    parts += [f"block {rule.block}"] if rule.block else []
    return ", ".join(parts) or "-"


def judged(judge, host, kind, at, access, client):
    """The last four columns for these facts."""
    known = {name: value for name, value in (("access", access), ("pseudonym", client)) if value != "-"}
    person = Person(**known)
    now = datetime(2021, 3, 10, 12, tzinfo=UTC) if at == "-" else parse_moment(at)
    admitted = admit(judge, [host], Standing(person), now)
    verdict = admitted.verdict
    if admitted.admission is Admission.INTERCEPT:
        verdict = judge.decide(Facts(host, content_type=() if kind == "-" else (kind,)), person, now)
    rule = verdict.rule
    return [str(admitted.admission), rule.name if rule else "-", str(verdict.reason), does(rule) if rule else "-"]


def test_every_policy_has_a_table_and_every_table_a_policy():
    assert {path.stem for path in VERDICTS.glob("*.tsv")} == POLICIES.keys()


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_decides_as_its_table_says(name):
    judge = Judge(POLICIES[name], KEY)
    rows = table(VERDICTS / f"{name}.tsv")
    assert [row[:5] + judged(judge, *row[:5]) for row in rows] == rows


@pytest.mark.parametrize("name", POLICIES)
def test_a_table_tries_every_rule_target_and_phase_and_a_host_beside_them(name):
    policy, rows = POLICIES[name], table(VERDICTS / f"{name}.tsv")
    assert {rule.name for rule in policy.rules} == {row[6] for row in rows} - {"-"}
    judge = Judge(policy, KEY)
    assert {rule.target for row in rows for rule in judge.listing(row[0]).rules} == policy.targets.keys()
    for phase in policy.phases:
        assert any(row[2] != "-" and phase.holds(parse_moment(row[2])) for row in rows), phase.name
    assert "untargeted" in {row[7] for row in rows}


@pytest.mark.parametrize("name", POLICIES)
def test_a_table_tries_named_clients_of_every_arm_and_line_and_beyond_every_condition(name):
    policy, rows = POLICIES[name], table(VERDICTS / f"{name}.tsv")
    clients = {row[4] for row in rows} - {"-"}
    assert clients
    draw = Assignment(KEY, policy.study, policy.arms).draw
    assert {draw(Person(pseudonym=client))[0] for client in clients} >= policy.arms.keys()
    assert {row[3] for row in rows} >= {access for rule in policy.rules for access in rule.access}
    conditions = {
        "arm": any(rule.arms for rule in policy.rules),
        "access": any(rule.access for rule in policy.rules),
        "phase": any(rule.phases for rule in policy.rules),
        "rollout": any(rule.rollout < 1 for rule in policy.rules),
        "never": bool(policy.never),
    }
    assert {reason for reason, is_asked in conditions.items() if is_asked} <= {row[7] for row in rows}


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_is_named_after_its_file_and_described(name):
    assert POLICIES[name].study == name
    assert POLICIES[name].description


@pytest.mark.parametrize("name", EPISODES)
def test_an_episode_cites_sources_says_how_sure_it_is_and_what_a_proxy_cannot_do(name):
    policy = EPISODES[name]
    assert policy.sources
    assert all(re.fullmatch(r"https://\S+", source) for source in policy.sources)
    assert re.search(r"\b(Read|Excerpt|Open): |As in ", policy.confidence)
    assert policy.limits


@pytest.mark.parametrize("name", POLICIES)
def test_only_the_phases_of_2021_hit_bystanders(name):
    bystanders = ["reddit.com", "microsoft.com", "rt.com", "www.bbc.co.uk", "example.org"]
    hit = {finding.host for finding in lint(POLICIES[name], bystanders) if finding.kind is Kind.COLLATERAL}
    assert hit == ({"reddit.com", "microsoft.com", "rt.com"} if name == "twitter-2021-phases" else set())


@pytest.mark.parametrize(
    ("control", "episode"), [("baseline", "twitter-2021-announced"), ("control-tunnel", "twitter-2021-measured")]
)
def test_a_control_differs_from_its_episode_in_the_caps_alone(control, episode):
    control, episode = POLICIES[control], POLICIES[episode]
    assert control.targets == episode.targets
    assert control.forget_after == episode.forget_after
    bare = [rule.model_copy(update={"caps": ()}) for rule in episode.rules]
    assert [rule.model_dump() for rule in control.rules] == [rule.model_dump() for rule in bare]
    assert not any(rule.asks_for_something for rule in control.rules)


def test_the_variants_of_the_measured_episode_differ_in_manner_alone():
    (window, *_), (smooth, *_), (police, *_) = (
        POLICIES[f"twitter-2021-measured{variant}"].rules for variant in ("", "-smooth", "-police")
    )
    caps = [rule.caps[0] for rule in (window, smooth, police)]
    assert [cap.manner for cap in caps] == [Manner.WINDOW, Manner.SMOOTH, Manner.POLICE]
    assert {(cap.rate, cap.scope) for cap in caps} == {(150_000, "connection")}
    assert len({POLICIES[f"twitter-2021-measured{v}"].targets["twitter"] for v in ("", "-smooth", "-police")}) == 1


def test_the_index_lists_every_policy_with_its_rate():
    index = (ROOT / "policies" / "README.md").read_text()
    for name, policy in POLICIES.items():
        (row,) = [line for line in index.splitlines() if f"[{name}.yaml]({name}.yaml)" in line]
        for rate in {format_rate(cap.rate) for rule in policy.rules for cap in rule.caps}:
            assert rate in row


def test_the_index_shows_commands_that_work(monkeypatch):
    monkeypatch.chdir(ROOT)
    text = (ROOT / "policies" / "README.md").read_text()
    commands = re.findall(r"^shaper (?!run)(.+)$", text, re.MULTILINE)
    outputs = {command: CliRunner().invoke(main, shlex.split(command)) for command in commands if "*" not in command}
    assert {command.split()[0] for command in outputs} == {"explain", "lint"}
    for command, result in outputs.items():
        expected = "P0-mobile decides" if command.startswith("explain") else "reaches reddit.com"
        assert expected in result.stdout, command

"""The commands for a running proxy, against its real control API."""

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from remembering_proxy import CONFIGURATION, TEXT, VIDEO, RememberingProxy, underway

from shaper.cli.ctl import ctl
from shaper.cli.ethics import ethics
from shaper.cli.invite import invite
from shaper.cli.remote import Remote
from shaper.cli.top import top
from shaper.onboarding.control.audit import AuditLog
from shaper.onboarding.control.serving import serve_control
from shaper.onboarding.roster import open_roster
from shaper.policy.load import loads


@pytest.fixture
def lab():
    return RememberingProxy()


@pytest.fixture
def options(lab, roster, tmp_path):
    log = AuditLog(tmp_path / "audit.jsonl")
    serving = serve_control(lab, CONFIGURATION, ("127.0.0.1", 0), token=tmp_path / "token", audit=log, roster=roster)
    yield ["--control", f"http://127.0.0.1:{serving.port}", "--token", str(tmp_path / "token")]
    serving.close()
    log.close()


@pytest.fixture
def run(options):
    def run(*arguments, command: click.Command = ctl):
        where = [*options, *arguments] if command is ctl else [*arguments, *options]
        return CliRunner(env={"COLUMNS": "120"}).invoke(command, where)

    return run


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "new.yaml"
        path.write_text(text)
        return str(path)

    return write


def test_status_says_where_what_and_who(run, roster):
    roster.enrol()
    result = run("status")
    assert result.exit_code == 0, result.output
    assert "127.0.0.1:8080" in result.output
    assert "1 invited" in result.output


def test_the_apis_answer_is_printed_as_it_is_for_scripts(run):
    assert json.loads(run("--json", "status").output)["proxy"]["study"] == "study"


def test_the_policy_in_force_can_be_read_back(run, lab):
    assert loads(run("policy").output, "x") == lab.current


def test_a_dry_run_counts_what_would_change(run, lab, file):
    lab.picture()
    result = run("dry-run", file(VIDEO))
    assert result.output.splitlines() == [
        "1 of the latest 1 decisions about targets would differ.",
        "     1  image matched by slow -> image no-rule",
    ]
    assert lab.current == loads(TEXT, "x")


def test_a_policy_is_applied(run, lab, file):
    assert run("apply", file(VIDEO)).output.startswith("In force: sha256:")
    assert lab.current == loads(VIDEO, "x")
    assert run("apply", file(VIDEO)).output.startswith("Unchanged: ")


def test_a_policy_that_is_not_valid_is_refused_in_one_line_that_names_the_file(run, file):
    path = file(TEXT.replace("150 kbit/s", "2 Mbps/s"))
    result = run("apply", path)
    assert result.exit_code == 1
    assert result.output.startswith(f'Error: {path}:5: rule "slow": "2 Mbps/s" is not a rate; write')
    assert result.output.count("\n") == 1


def test_phases_pauses_and_reloads_reach_the_proxy(run, lab):
    assert run("phase", "P0").output == "Held in P0.\n"
    assert run("phase").output == "Study time goes on.\n"
    assert run("pause").output.startswith("Paused")
    assert lab.paused
    assert run("resume").output == "Resumed.\n"
    assert not lab.paused
    assert run("reload").output.startswith("Unchanged")
    assert run("phase", "P9").output == 'Error: there is no phase "P9"; name "P0"\n'


def test_volunteers_exports_and_the_audit_log_are_listed(run, roster):
    pseudonym, _ = roster.enrol(access="mobile")
    assert run("volunteers").output.startswith(f"{pseudonym}  invited  -  mobile")
    assert run("export").output == "1 left out: cells with fewer than 5 people.\n"
    [line] = run("audit", "-n", "5").output.splitlines()
    assert "  volunteers  done" in line


def test_a_change_of_the_audit_log_by_hand_is_told(run, tmp_path):
    log = tmp_path / "audit.jsonl"
    for name in ("P0", "P9"):
        run("phase", name)
    said = run("verify").output
    assert said.startswith("2 lines, each follows from the one before. The last has SHA-256 ")
    assert run("verify", str(log)).output == said
    assert json.loads(run("--json", "verify").output)["lines"] == 2
    log.write_bytes(log.read_bytes().replace(b"P0", b"P1", 1))
    for result in (run("verify"), run("verify", str(log)), run("verify", str(tmp_path / "absent"))):
        assert result.exit_code == 1
        assert result.output.count("\n") == 1
    assert f"{log}:2: audit log: does not follow from the line before" in run("verify").output


def test_the_openapi_document_can_be_printed_and_is_the_one_that_is_served(run, options):
    answer = Remote(options[1], Path(options[3])).get("/openapi.json")
    assert json.loads(CliRunner().invoke(ctl, ["openapi"]).output) == answer


def test_top_shows_the_oldest_transfers_first_with_their_rates(run, lab):
    lab.under_way = [underway(age=1.0), underway(age=10.0, client=None, size=187_500, media="video")]
    result = run("--once", command=top)
    rows = [line.split() for line in result.output.splitlines() if line.strip().endswith("bit/s")]
    assert [row[0] for row in rows] == ["10.0", "1.0"]
    assert rows[0][-4:] == ["150", "kbit/s", "150", "kbit/s"]
    assert "2 transfers under way" in result.output


def test_the_worksheet_is_filled_from_the_running_proxy(run, roster):
    result = run(command=ethics)
    assert result.exit_code == 0, result.output
    assert "Filled from the proxy at 127.0.0.1:8080" in result.output
    assert "asked anew after 30 days" in result.output


def test_the_worksheet_of_a_plan_needs_no_proxy(file):
    result = CliRunner().invoke(ethics, ["--policy", file(VIDEO)])
    assert "Filled from a plan" in result.output
    broken = CliRunner().invoke(ethics, ["--policy", file("nonsense")])
    assert (broken.exit_code, broken.output.count("\n")) == (1, 1)


def test_invitations_are_for_one_person_each_and_work_at_the_running_proxy(roster, tmp_path):
    arguments = ["--volunteers", str(tmp_path / "volunteers.sqlite"), "--study", "study", "--count", "3"]
    result = CliRunner().invoke(invite, [*arguments, "--site", "http://127.0.0.1:8081/"])
    links = result.output.splitlines()
    assert len(set(links)) == 3
    again = open_roster(tmp_path / "volunteers.sqlite", "study")
    people = {again.sign_in(link.removeprefix("http://127.0.0.1:8081/join/")) for link in links}
    again.close()
    assert len(people - {None}) == 3


def test_an_invitation_to_another_study_is_refused_in_one_line(roster, tmp_path):
    arguments = ["--volunteers", str(tmp_path / "volunteers.sqlite"), "--study", "other"]
    result = CliRunner().invoke(invite, arguments)
    assert result.exit_code == 1
    assert "use one file a study" in result.output


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--control", "http://127.0.0.1:1"], "no answer from the control API"),
        (["--control", "file:///etc/passwd"], "is not a URL"),
        (["--token", "/nowhere/token"], "no token; start the proxy with --control"),
    ],
)
def test_what_stands_in_the_way_is_said_in_one_line(options, arguments, expected):
    result = CliRunner().invoke(ctl, [*options, *arguments, "status"])
    assert result.exit_code == 1
    assert expected in result.output
    assert result.output.count("\n") == 1


def test_a_token_that_others_can_read_is_not_used(options, tmp_path):
    (tmp_path / "token").chmod(0o644)
    result = CliRunner().invoke(ctl, [*options, "status"])
    assert "others may use it" in result.output


def test_a_wrong_token_is_refused(options, tmp_path):
    (tmp_path / "token").write_text("0" * 64)
    assert "Authorization" in CliRunner().invoke(ctl, [*options, "status"]).output

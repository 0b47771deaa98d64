"""The README is true: its commands run, its policy loads, its table is the demo's, and its links lead somewhere."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from shaper.cli.demo_table import HEAD
from shaper.cli.main import main
from shaper.policy.load import loads

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^    (\S.*)$", README, re.MULTILINE)
SHAPER = [command for command in COMMANDS if "shaper" in command]
TABLE = dict(re.findall(r"^\| (`shaper [^|]+?) \| (.*) \|$", README, re.MULTILINE))
FREE = "--listen 127.0.0.1:0 --metrics 127.0.0.1:0 --ca-dir ca"  # what any machine has room for
FREE_OF_TOOL = "--listen-host 127.0.0.1 --listen-port 0 --set confdir=ca"


def test_it_has_commands_of_each_kind():
    assert {"make demo", "make test"} <= set(COMMANDS)
    assert len(SHAPER) >= 3
    assert any("mitmdump" in command for command in SHAPER)


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("make")])
def test_make_knows_what_it_names(command):
    plan = subprocess.run([*command.split(), "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert plan.returncode == 0, plan.stderr
    assert ".venv/bin/" in plan.stdout


@pytest.mark.parametrize("command", SHAPER)
def test_what_it_tells_people_to_run_runs(command, tmp_path):
    (tmp_path / "policies").symlink_to(ROOT / "policies")
    free, ready = (FREE_OF_TOOL, "proxy listening at") if "mitmdump" in command else (FREE, "journal ")
    command = command.replace(".venv/bin/", f"{shlex.quote(str(Path(sys.executable).parent))}/")
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        ["sh", "-c", f"exec {command} {free}"], cwd=tmp_path, env=environment, stdout=-1, stderr=-2, text=True
    ) as process:
        said = ""
        while ready not in said and (line := process.stdout.readline()):
            said += line
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=30)
    assert ready in said, said + rest
    assert "Traceback" not in said + rest
    assert process.returncode == 0


@pytest.mark.parametrize("row", TABLE)
def test_each_command_of_the_table_is_there_with_its_options(row):
    for name in re.findall(r"`(?:shaper )?([a-z]+)", row):
        told = CliRunner().invoke(main, [name, "--help"])
        assert told.exit_code == 0, told.output
        for option in re.findall(r"--[a-z-]+", row):
            assert option in told.output


def test_the_table_leaves_no_command_out():
    assert isinstance(main, click.Group)
    told = " ".join([*TABLE, *COMMANDS])
    assert [name for name in main.commands if not re.search(rf"\b{name}\b", told)] == []


def test_its_policy_is_one():
    (policy,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert loads(policy, "README.md").rules[0].caps[0].rate == 150_000


def test_the_table_it_shows_has_the_demos_head():
    assert HEAD in README


def test_the_walk_names_files_that_are_there():
    named = re.findall(r"`(\w+(?:/\w+)*\.py)`", (ROOT / "docs" / "walk.md").read_text())
    assert len(named) > 20
    assert [name for name in named if not any((ROOT / "shaper" / part / name).exists() for part in ("", "proxy"))] == []


def pages():
    tracked = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    return tracked.split() or [str(path.relative_to(ROOT)) for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]]


@pytest.mark.parametrize("page", pages())
def test_links_between_pages_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:|mailto:)([^)#\s]+)", (ROOT / page).read_text())
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []

"""`shaper check` as people and scripts meet it: one line a file, one line a problem, and the exit code."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from shaper.cli.main import main

POLICIES = Path(__file__).parents[2] / "policies"
SHAPER = Path(sys.executable).with_name("shaper")
POLICY = """\
version: 1
study: lab
targets: {photos: {hosts: ["*.example.org"]}}
phases: [{name: march, start: 2021-03-10T07:00Z, end: 2021-03-11T07:00Z}]
rules: [{name: slow, target: photos, media: [image], caps: [{rate: 150 kbit/s}]}]
"""


@pytest.fixture
def check(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(**files):
        for name, content in files.items():
            Path(f"{name}.yaml").write_text(content)
        return CliRunner().invoke(main, ["check", *(f"{name}.yaml" for name in files)])

    return run


def test_a_valid_policy_is_one_line_with_its_study_rules_and_digest(check):
    result = check(lab=POLICY)
    assert result.exit_code == 0
    assert result.output.startswith("lab.yaml: study lab, 1 rule, sha256:")
    assert result.output.count("\n") == 1


def test_every_file_is_checked_and_one_bad_one_fails_all(check):
    result = check(bad=POLICY.replace("150 kbit/s", "2 Mbps/s"), good=POLICY)
    assert result.exit_code == 1
    assert result.stdout.startswith("good.yaml: study lab")
    assert result.stderr == 'bad.yaml:5: rule "slow": "2 Mbps/s" is not a rate; write "2 Mbit/s" or "250 kB/s"\n'


def test_every_problem_of_a_file_has_its_line(check):
    result = check(bad=POLICY.replace("150 kbit/s", "150").replace("study: lab", "study: 7"))
    assert [line.partition(" ")[0] for line in result.stderr.splitlines()] == ["bad.yaml:2:", "bad.yaml:5:"]


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (("study: lab", "study: lab\nmode: shadow"), "mode is shadow, so nothing is slowed"),
        (
            ("image]", "image], phases: [march]"),
            "no phase that its rules name is in force now; choose a date with --at",
        ),
    ],
)
def test_a_valid_policy_that_would_slow_nothing_says_so(check, change, note):
    result = check(lab=POLICY.replace(*change))
    assert (result.exit_code, result.output.splitlines()[1]) == (0, f"lab.yaml: note: {note}")


def test_a_missing_file_is_one_line():
    result = CliRunner().invoke(main, ["check", "missing.yaml"])
    assert result.exit_code == 1
    assert result.stderr == "missing.yaml: cannot be read: No such file or directory; check the path\n"


def test_every_shipped_policy_is_valid_by_the_real_command():
    files = sorted(POLICIES.glob("*.yaml"))
    done = subprocess.run([SHAPER, "check", *files], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(f"{file}: study " in done.stdout for file in files)
    assert files


def test_a_policy_that_this_machine_cannot_run_says_so(check, monkeypatch):
    monkeypatch.setenv("PATH", "")  # no nft
    result = check(lab=POLICY.replace("150 kbit/s", "150 kbit/s, manner: police"))
    assert result.exit_code == 0
    assert "lab.yaml: note: manner police cannot run here: nft is not installed" in result.output

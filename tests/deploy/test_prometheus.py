"""Prometheus's own tool finds the configuration, the rules and their unit tests right, and the runbook complete."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/prometheus"
ALERTS = [
    rule for group in yaml.safe_load((FOLDER / "rules/alerts.yml").read_text())["groups"] for rule in group["rules"]
]


@pytest.fixture
def promtool(needs):
    needs("promtool", "apt-get install prometheus")

    def run(*words):
        done = subprocess.run(["promtool", *map(str, words)], capture_output=True, text=True, check=False, cwd=FOLDER)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stderr == ""
        return done.stdout

    return run


def test_the_configuration_is_valid(promtool):
    assert "2 rule files found" in promtool("check", "config", "prometheus.yml")


def test_the_rules_are_valid_and_none_is_twice(promtool):
    assert "SUCCESS" in promtool("check", "rules", "--lint=all", "--lint-fatal", *sorted((FOLDER / "rules").glob("*")))


def test_each_alert_fires_when_it_should_and_not_before(promtool):
    assert "SUCCESS" in promtool("test", "rules", "rules_test.yml")


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_each_alert_has_a_summary_a_section_in_the_runbook_and_a_unit_test(alert):
    name = alert["alert"]
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert alert["annotations"]["summary"]
    assert alert["annotations"]["runbook"] == f"docs/runbook.md#{name.lower()}"
    section = re.search(rf"^## {name}\n\n\*(\w+)\.\*", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
    assert section[1].lower() == alert["labels"]["severity"]
    tests = yaml.safe_load((FOLDER / "rules_test.yml").read_text())["tests"]
    cases = [
        case["exp_alerts"] for test in tests for case in test.get("alert_rule_test", ()) if case["alertname"] == name
    ]
    assert [] in cases
    assert [case for case in cases if case]


def test_the_runbook_has_no_section_without_an_alert():
    sections = re.findall(r"^## (\w+)$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
    assert sections == [alert["alert"] for alert in ALERTS]

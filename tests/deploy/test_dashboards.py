"""The dashboards as files: what the code makes, complete, and about metrics that exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from questions import boards, questions

from shaper.record.metrics import Metrics

ROOT = Path(__file__).parents[2]
BOARDS = boards()
PANELS = [
    pytest.param(panel, id=f"{uid}: {panel['title']}")
    for uid, board in BOARDS.items()
    for panel in board["panels"]
    if panel["type"] != "row"
]


def test_the_checked_in_json_is_what_the_code_makes():
    check = subprocess.run(
        [sys.executable, ROOT / "deploy/grafana/build.py", "--check"], capture_output=True, text=True, check=False
    )
    assert (check.returncode, check.stderr) == (0, "")


def test_there_is_a_dashboard_for_the_study_the_proxy_and_the_volunteers():
    assert {uid: board["title"] for uid, board in BOARDS.items()} == {
        "shaper-study": "shaper: Study",
        "shaper-health": "shaper: Proxy health",
        "shaper-volunteers": "shaper: Volunteers",
    }


@pytest.mark.parametrize("uid", BOARDS)
def test_each_dashboard_has_the_variables_and_annotations(uid):
    variables = [variable["name"] for variable in BOARDS[uid]["templating"]["list"]]
    assert variables == ["datasource", "study", "instance", "rule", "media", "arm"]
    annotations = [annotation["name"] for annotation in BOARDS[uid]["annotations"]["list"]]
    assert annotations == ["Policy", "Phase", "Reload"]


@pytest.mark.parametrize("panel", PANELS)
def test_each_panel_says_what_it_shows_in_which_unit_and_how_much_is_too_much(panel):
    assert len(panel["description"]) > 20
    assert panel["description"].endswith((".", "0.", "!"))
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"]
    assert defaults["thresholds"]["steps"][0]["value"] is None
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@pytest.mark.parametrize("uid", BOARDS)
def test_panels_fill_the_grid_without_overlap(uid):
    taken = set()
    for panel in BOARDS[uid]["panels"]:
        grid = {"x": 0, "y": 0} | panel["gridPos"]
        assert grid["x"] + grid["w"] <= 24
        cells = {
            (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not cells & taken
        taken |= cells


def metric_names(text):
    return set(re.findall(r"\b(?:shaper|process)_\w+", text))


def exported():
    names = set()
    for family in Metrics().registry.collect():
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        names |= {family.name + suffix for suffix in suffixes}
    return names


@pytest.mark.parametrize("uid", BOARDS)
def test_every_query_is_about_a_metric_or_a_rule_that_exists(uid):
    rules = yaml.safe_load((ROOT / "deploy/prometheus/rules/quantiles.yml").read_text())
    recorded = {rule["record"] for group in rules["groups"] for rule in group["rules"]}
    asked = [question.expr for question in questions(BOARDS[uid])]
    assert asked
    for expr in asked:
        used = set(re.findall(r"\bshaper:[\w:]+", expr))
        assert used <= recorded
        assert metric_names(re.sub(r"\bshaper:[\w:]+", "", expr)) <= exported()


def test_series_over_histograms_carry_exemplars():
    study = BOARDS["shaper-study"]["panels"]
    heatmaps = [panel for panel in study if panel["type"] == "heatmap"]
    assert heatmaps
    assert all(target["exemplar"] for panel in heatmaps for target in panel["targets"])


SOURCE_KEYS = {"name", "uid", "type", "access", "url", "isDefault", "editable", "jsonData"}  # of those documented
PROVIDER_KEYS = {"name", "folder", "type", "disableDeletion", "allowUiUpdates", "options"}


def test_provisioning_names_the_folder_and_a_source_that_keeps_the_scrape_interval():
    """Grafana passes over a key that it does not know without a word."""
    folder = ROOT / "deploy/grafana/provisioning"
    (source,) = yaml.safe_load((folder / "datasources/prometheus.yml").read_text())["datasources"]
    assert set(source) == SOURCE_KEYS
    assert set(source["jsonData"]) == {"timeInterval", "httpMethod", "prometheusType"}
    assert source["type"] == "prometheus"
    interval = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == interval
    (provider,) = yaml.safe_load((folder / "dashboards/shaper.yml").read_text())["providers"]
    assert set(provider) == PROVIDER_KEYS
    assert set(provider["options"]) == {"path"}
    assert provider["options"]["path"].endswith("/dashboards")


def test_each_picture_of_the_page_exists_in_light_and_dark_and_is_small():
    page = (ROOT / "docs/dashboards.md").read_text()
    pictures = set(re.findall(r'(?:src|srcset)="(img/[\w-]+\.png)"', page))
    shown = {path.name for path in (ROOT / "docs").glob("img/*-light.png")}
    assert {Path(picture).name for picture in pictures if "-light" in picture} <= shown
    assert {picture.replace("-light", "-dark") for picture in pictures if "-light" in picture} <= pictures
    assert all(0 < (ROOT / "docs" / picture).stat().st_size < 150_000 for picture in pictures)


def test_the_lock_of_the_drawing_parts_names_no_registry():
    lock = (ROOT / "deploy/grafana/render/package-lock.json").read_text()
    assert '"integrity": "sha512-' in lock
    assert '"resolved"' not in lock

"""The shipped study's summary: the table in the docs is of the rows that the program writes, from a run of the plan."""

import importlib.util
import re
from pathlib import Path

import pytest
from synthetic_run import make_run, rewrite

from shaper.measure.plan import Plan
from shaper.measure.run import Outcome
from shaper.policy.load import load_as
from shaper.report.drawing import TIMES

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/announced-and-measured.md"


@pytest.fixture(scope="module")
def summary():
    spec = importlib.util.spec_from_file_location("summary", ROOT / "studies/summary.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(text):
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return lines[2:]


def test_the_table_in_the_docs_has_every_row_for_every_arm(summary):
    plan = load_as(Plan, ROOT / "studies/twitter-2021.yaml")
    kinds = {each.name: "page" if each.media == "page" else "" for each in plan.objects}
    wanted = [
        [row.label, probe.name]
        for row in summary.ROWS
        for probe in plan.probes
        if (probe.kind == "chromium") == (kinds[row.object] == "page")
    ]
    found = rows(PAGE.read_text())
    assert [row[:2] for row in found] == wanted
    assert {len(row) for row in found} == {2 + len(plan.arms)}


def test_the_pictures_are_there_and_small(summary):
    named = re.findall(r"\]\((img/.*?)\)", PAGE.read_text())
    assert named == [f"img/twitter-2021-{name}.png" for name in summary.PICTURES]
    assert all(0 < (PAGE.parent / name).stat().st_size < 150_000 for name in named)


def test_a_time_that_never_came_is_longer_than_it_was_watched(summary, tmp_path):
    run = make_run(tmp_path / "run", blocks=7, pages=False)
    late = {"outcome": Outcome.TIMEOUT, "duration": 60.0}
    rewrite(run, lambda sample: late if sample.arm == "measured" and sample.object == "photo" else {})
    (run / "report/figures").mkdir(parents=True)
    for name in summary.PICTURES:
        (run / f"report/figures/{name}.png").write_bytes(b"picture")
    (tmp_path / "img").mkdir()
    page = tmp_path / "page.md"
    page.write_text(f"before\n{summary.BEGIN}\nold\n{summary.END}\nafter\n")
    summary.main(run, page)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    (photo,) = [row for row in rows(text) if row[0].startswith("photo")]
    _, _, control, announced, measured = photo
    assert re.fullmatch(r"[\d.]+ ms", control)
    assert re.fullmatch(rf"[\d.]+ s, {TIMES}[\d.]+ \[[\d.]+, [\d.]+\]", announced)
    assert measured.startswith(f"never, at least {TIMES}")
    assert measured.endswith(", open]")
    summary.main(run, page)
    assert page.read_text() == text

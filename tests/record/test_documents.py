"""docs/metrics.md cannot go stale: each metric, label, label value and journal field must stand in it."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from shaper.policy.admission import Admission
from shaper.policy.media import Evidence, MediaClass
from shaper.policy.model import Direction
from shaper.policy.verdict import Reason
from shaper.record.bound import Bound
from shaper.record.fallback import Fallback
from shaper.record.journal import Loss
from shaper.record.metrics import Metrics
from shaper.record.transfer import Outcome, TransferRecord, Wait

PAGE = (Path(__file__).parents[2] / "docs/metrics.md").read_text()
HEADING = re.compile(r"^### `(shaper_\w+)(?:\{([\w,]+)\})?`$", re.MULTILINE)
documented = {name: tuple((labels or "").split(",")) for name, labels in HEADING.findall(PAGE)}


def exported(registry):
    """Return each family's exposed name with the labels it was made with."""
    for collector in registry._collector_to_names:
        for family in collector.describe() if hasattr(collector, "describe") else collector.collect():
            suffix = "_total" if family.type == "counter" else ""
            yield family.name + suffix, tuple(getattr(collector, "_labelnames", ())) or ("",)


def test_every_metric_has_a_section_that_names_its_labels():
    ours = {name: labels for name, labels in exported(Metrics().registry) if name.startswith("shaper_")}
    assert documented == ours


def test_every_metric_of_the_process_stands_in_the_table():
    names = {name for name, _ in exported(Metrics().registry) if not name.startswith("shaper_")}
    assert names == set(re.findall(r"^\| `((?:process|python)_\w+)(?:\{\w+\})?` \|", PAGE, re.MULTILINE))


def test_every_metric_has_a_recipe_about_itself():
    sections = re.split(HEADING, PAGE)
    for name, body in zip(sections[1::3], sections[3::3], strict=True):
        recipe = body.split("```promql\n")[1].split("```")[0]
        assert name in recipe


@pytest.mark.parametrize(
    "values", [Admission, MediaClass, Direction, Reason, Outcome, Wait, Fallback, Bound, Loss, Evidence]
)
def test_every_label_value_is_explained(values):
    assert not [value for value in values if f"`{value}`" not in PAGE]


def test_every_field_of_a_journal_line_is_explained_in_its_order():
    table = PAGE.split("| field | meaning |")[1]
    explained = re.findall(r"^\| `(\w+)` \| ", table, re.MULTILINE)
    assert explained == [field.name for field in fields(TransferRecord)]

"""docs/policy.md against the code: every key, default, reason and unit, and every example."""

import json
import re
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from shaper.pacing.limit import Manner, Scope
from shaper.policy import units
from shaper.policy.load import PolicyError, loads
from shaper.policy.media import Evidence, MediaClass
from shaper.policy.model import Access, Block, Direction, Level, Mode, Model, Target
from shaper.policy.target import HostSet
from shaper.policy.verdict import Reason

DOCUMENT = (Path(__file__).parents[2] / "docs" / "policy.md").read_text()
SECTIONS = {part.partition("\n")[0]: part for part in re.split(r"^###? ", DOCUMENT, flags=re.MULTILINE)}
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", DOCUMENT, flags=re.MULTILINE | re.DOTALL)
MODELS = {model.__name__: model for model in Model.__subclasses__() if model.__module__ == Model.__module__}


def rows(section):
    """Return the cells of a section's table, without its head."""
    lines = [line.strip("| ").split(" | ") for line in SECTIONS[section].splitlines() if line.startswith("|")]
    return lines[2:]


def default(field):
    if field.is_required():
        return "required"
    value = TypeAdapter(field.rebuild_annotation()).dump_python(field.default, mode="json")
    return f"`{value}`" if value and isinstance(value, str) else f"`{json.dumps(value)}`"


@pytest.mark.parametrize("name", MODELS)
def test_every_key_is_explained_with_its_default_and_no_other(name):
    explained = {key: written for key, _, written in rows(name)}
    assert explained == {f"`{key}`": default(field) for key, field in MODELS[name].model_fields.items()}


@pytest.mark.parametrize("choice", [Scope, Manner, Level, Direction, Access, Block, Mode, MediaClass])
def test_every_choice_is_named(choice):
    assert [value for value in choice if f"`{value}`" not in DOCUMENT] == []


def test_every_reason_is_explained_and_no_other():
    assert [row[0] for row in rows("Reasons")] == [f"`{reason}`" for reason in Reason]


def test_every_kind_of_evidence_is_explained_strongest_first():
    assert [row[0] for row in rows("Media classes")] == [f"`{evidence}`" for evidence in Evidence]


def test_every_unit_is_named_and_no_other():
    quantities = (units.RATE, units.SIZE, units.DURATION, units.SHARE)
    wanted = [[quantity.noun, " ".join(f"`{unit}`" for unit in quantity.units)] for quantity in quantities]
    assert rows("Units") == wanted


def test_the_patterns_match_what_the_table_says():
    names = [row for row in rows("Patterns") if not row[0].startswith("`192.")]
    for pattern, inside, outside in names:
        hosts = HostSet(Target(hosts=[yaml.safe_load(pattern.strip("`"))]).hosts)
        assert all(name in hosts for name in inside.split(", "))
        assert not any(name in hosts for name in outside.split(", "))
    assert len(names) == 3


PREAMBLE = EXAMPLES[0].partition("rules:")[0]


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_every_example_is_a_policy_or_the_rules_of_one(example):
    text = example if example.startswith("version") else PREAMBLE + example
    assert loads(text, "docs/policy.md").rules


def test_the_error_shown_is_the_error_that_is_given():
    shown = re.search(r"^lab\.yaml:14: (.*)$", DOCUMENT, flags=re.MULTILINE)
    with pytest.raises(PolicyError) as refused:
        loads(EXAMPLES[0].replace("150 kbit/s", "2 Mbps/s").replace("slow-photos", "hero"), "lab.yaml")
    assert shown
    assert str(refused.value).endswith(f": {shown[1]}")

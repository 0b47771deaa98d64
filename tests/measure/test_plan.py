"""Plans: what is refused, with line and remedy, and what the document says of every key."""

import re
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from shaper.measure.plan import Object, Plan, PlannedArm, Probe
from shaper.policy.load import PolicyError, load_as, loads_as

PLAN = """
version: 1
name: pilot
arms:
  - {name: control}
  - {name: slow, policy: slow.yaml}
reference: control
probes:
  - {name: h1, kind: h1}
  - {name: chromium, kind: chromium}
objects:
  - {name: photo, url: "https://a.test/p.jpg?size=3", media: image}
  - {name: page, url: "https://b.test", media: page}
  - {name: upload, url: "http://a.test/upload", media: upload, size: 60 kB}
"""
ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/measuring.md").read_text()
SECTIONS = {re.match(r"\W*(\w+)", part)[1]: part for part in re.split(r"^###? ", DOCUMENT, flags=re.MULTILINE)}


def plan(text=PLAN):
    return loads_as(Plan, text, "plan.yaml")


def test_each_probe_gets_what_fits_it():
    assert plan().pairs == [("h1", "photo"), ("h1", "upload"), ("chromium", "page")]


def test_objects_know_where_they_are():
    photo, page, upload = plan().objects
    assert (photo.host, photo.path, photo.query) == ("a.test", "/p.jpg", "size=3")
    assert (page.host, page.path, page.query) == ("b.test", "/", "")
    assert upload.size == 60_000
    assert plan().hosts == ["a.test", "b.test"]


def test_the_digest_is_of_the_plan_and_not_of_its_spelling():
    assert plan().digest == plan(PLAN.replace("{name: control}", "{name:   control, description: ''}")).digest
    assert plan().digest != plan(PLAN + "seed: 2\n").digest


@pytest.mark.parametrize(
    ("old", "new", "line", "problem", "remedy"),
    [
        ("reference: control", "reference: contrl", 7, 'there is no arm "contrl"', "name one of control, slow"),
        ("name: slow,", "name: control,", 6, 'another one is named "control"', "rename one"),
        ("kind: h1", "kind: h3", 9, '"h3" is not known', '"h1"'),
        ("reference", "refrence", 7, 'unknown key "refrence"', 'did you mean "reference"?'),
        (
            "https://a.test/p.jpg",
            "a.test/p.jpg",
            12,
            '"a.test/p.jpg?size=3" is not a URL',
            "write one such as https://",
        ),
        ("  - {name: chromium, kind: chromium}\n", "", 12, 'no probe is for "page"', "kind chromium"),
        (", media: page}", ", media: image}", 10, 'no object is for "chromium"', "add a page"),
        (", size: 60 kB", "", 14, "an upload has a size", "size: 60 kB"),
        ("media: image", "media: image, size: 3 kB", 12, "an upload has a size", "size: 60 kB"),
        ("version: 1", "version: 1\nblocks: 0", 3, '"0" is no number of blocks', "from 1 to 10000"),
        ("version: 1", "version: 1\nwashout: 1 parsec", 3, '"1 parsec"', "write"),
    ],
)
def test_what_is_wrong_is_said_with_line_and_remedy(old, new, line, problem, remedy):
    assert old in PLAN
    with pytest.raises(PolicyError) as refused:
        plan(PLAN.replace(old, new))
    said = str(refused.value)
    assert said.startswith(f"plan.yaml:{line}: ")
    assert problem in said
    assert remedy in said
    assert "\n" not in said


@pytest.mark.parametrize("path", sorted((ROOT / "studies").glob("*.yaml")), ids=lambda path: path.name)
def test_shipped_plans_are_plans(path):
    assert load_as(Plan, path).pairs


def test_the_example_in_the_document_is_a_plan():
    (example,) = re.findall(r"^```yaml\n(.*?)^```", DOCUMENT, flags=re.MULTILINE | re.DOTALL)
    assert plan(example).pairs == [("h1", "photo"), ("chromium", "page")]


@pytest.mark.parametrize("model", [Plan, PlannedArm, Probe, Object])
def test_every_key_is_explained_with_its_default_and_no_other(model):
    rows = [line.strip("| ").split(" | ") for line in SECTIONS[model.__name__].splitlines() if line.startswith("|")][2:]
    assert {key: default for key, _, default in rows} == {
        f"`{key}`": _default(field) for key, field in model.model_fields.items()
    }


def _default(field):
    if field.is_required():
        return "required"
    value = TypeAdapter(field.rebuild_annotation()).dump_python(field.default, mode="json")
    return "none" if value in (None, "") else f"`{value}`"

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from shaper.measure.run import (
    Arm,
    Browser,
    Conditions,
    Outcome,
    ReadEvent,
    Resource,
    Run,
    RunError,
    Sample,
    ServerTiming,
    Truth,
    conditions,
    encode_sample,
    parse_sample,
)

CONDITIONS = Conditions(
    name="pilot",
    plan="sha256:ab",
    seed=1,
    started="2026-03-01T09:00:00Z",
    arms=(Arm(name="control"), Arm(name="announced", policy="sha256:cd", certificate="sha256:ef")),
    reference="control",
    probes=("h1",),
    versions={"shaper": "0.1.0"},
    machine={"cores": "2"},
    clock={"source": "monotonic"},
)
SAMPLE = Sample(
    id="1",
    block="1",
    order=0,
    arm="control",
    probe="h1",
    object="photo",
    media="image",
    started="2026-03-01T09:00:01Z",
    outcome=Outcome.COMPLETE,
    timeout=60,
    duration=1.5,
    reads=(ReadEvent(0.0, 0.5, 100), ReadEvent(0.5, 1.5, 200)),
    truth=Truth(manner="smooth", rate=150e3),
    browser=Browser(
        images_complete={"5": 0.5},
        resources=(
            Resource(name="a", media="image", start=0.1, server_timing=(ServerTiming(name="held", duration=0.2),)),
        ),
    ),
)


@pytest.fixture
def run(tmp_path):
    (tmp_path / "run.json").write_bytes(conditions.dump_json(CONDITIONS))
    (tmp_path / "samples.jsonl").write_bytes(encode_sample(SAMPLE) + encode_sample(replace(SAMPLE, id="2")))
    return tmp_path


def test_what_was_written_is_read_back(run):
    found = Run.open(run)
    assert found.conditions == CONDITIONS
    assert list(found.samples()) == [SAMPLE, replace(SAMPLE, id="2")]


def test_journals_are_found_by_their_names(run):
    for name in ("journal.jsonl", "journal-announced.jsonl", "other.jsonl"):
        (run / name).touch()
    assert [file.name for file in Run.open(run).journals] == ["journal-announced.jsonl", "journal.jsonl"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"schema":"shaper.sample/1","id":"3"\n', "EOF while parsing"),
        (encode_sample(SAMPLE)[:-20], "cut short"),
        (b'{"level":30,"msg":"hello"}\n', "shaper.sample/1"),
        (b"[1]\n", "shaper.sample/1"),
        (b"\xff\xfe\x00\n", "expected"),
        (encode_sample(SAMPLE).replace(b'"duration":1.5', b'"duration":"long"'), "duration"),
        (encode_sample(SAMPLE).replace(b'"duration":1.5', b'"duration":NaN'), "expected value"),
        (encode_sample(SAMPLE).replace(b'"duration":1.5', b'"duration":1e999'), "duration"),
        (encode_sample(SAMPLE).replace(b'"order":0', b'"order":0,"url":"https://x"'), "url"),
        (encode_sample(SAMPLE), 'sample "1" is there twice'),
    ],
)
def test_a_broken_cut_or_foreign_line_is_refused_with_file_and_line(run, line, said):
    with (run / "samples.jsonl").open("ab") as file:
        file.write(line)
    with pytest.raises(RunError, match=r"samples\.jsonl:3: ") as refused:
        list(Run.open(run).samples())
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_directory_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"run\.json: No such file"):
        Run.open(tmp_path)
    (tmp_path / "run.json").write_text('{"name": "package"}')
    with pytest.raises(RunError, match="not a run's conditions"):
        Run.open(tmp_path)


def test_a_line_names_its_schema():
    assert encode_sample(SAMPLE).startswith(b'{"schema":"shaper.sample/1"')
    assert parse_sample(encode_sample(SAMPLE)) == SAMPLE


@pytest.mark.parametrize("kind", [Conditions, Arm, Sample, Truth, Browser, Resource, ServerTiming])
def test_every_key_is_explained(kind):
    document = (Path(__file__).parents[2] / "docs/measuring.md").read_text()
    assert [f.name for f in fields(kind) if f"`{f.name}`" not in document] == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("received", -1),
        ("expected", -1),
        ("records", -1),
        ("duration", -0.1),
        ("timeout", -1.0),
        ("handshake", -0.1),
        ("ttfb", -0.1),
        ("reads", [[0.0, 0.1, -1]]),
    ],
)
def test_a_sample_has_no_negative_size_or_time(key, value):
    line = json.dumps({**json.loads(encode_sample(SAMPLE)), key: value}).encode() + b"\n"
    with pytest.raises(ValueError, match=rf"{key}.*: Input should be greater than or equal to 0$"):
        parse_sample(line)

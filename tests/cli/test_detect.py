import json
import re

import numpy as np
import pytest
import synthetic_run
from click.testing import CliRunner
from synthetic_run import make_run

from shaper.cli.main import main
from shaper.report.parquet import pack


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("detect") / "run", blocks=3)


def detect(*arguments):
    return CliRunner().invoke(main, ["detect", *map(str, arguments)])


def test_a_run_is_judged_by_arm_and_held_against_its_labels(run):
    said = detect(run)
    assert said.exit_code == 0, said.output
    lines = dict(line.split(": ", 1) for line in said.output.splitlines())
    assert lines["control, video by h1"].startswith("3 of 3 unshaped at ")
    assert re.match(r"3 of 3 smooth at 1[45]\d kbit/s", lines["announced, video by h1"])
    assert re.match(r"3 of 3 windowed at 1[45]\d kbit/s", lines["measured, video by h1"])
    assert lines["labelled with the truth"] == "27; right 27, inconclusive 0, wrong 0"
    assert "page" not in said.output


def test_a_packed_run_is_judged_alike(run, tmp_path):
    packed = make_run(tmp_path / "packed", blocks=3)
    list(pack([packed]))
    assert detect(packed).output == detect(run).output


def test_each_transfer_is_one_json_document_when_asked(run):
    documents = [json.loads(line) for line in detect(run, "--json").output.splitlines()]
    assert len(documents) == 27
    assert {document["look"] for document in documents if document["truth"] == "smooth"} == {"smooth"}
    assert all(document["evidence"] for document in documents)


def test_a_journal_tells_rates_and_not_how(run):
    said = detect(run / "journal-announced.jsonl").output
    assert "announced, image: 3 of 3 inconclusive at 1" in said
    assert "without read events" in said
    assert "announced, other: 3 of 3 unshaped" in said


SMOOTH = synthetic_run.smooth(np.random.default_rng(1), 200_000, 0.03, 150e3)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(SMOOTH),
        "".join(json.dumps(event) + "\n" for event in SMOOTH),
        json.dumps([[0.0, t, n] for t, n in SMOOTH]),
        "".join(json.dumps({"t0": 0, "t": t, "num_bytes": n}) + "\n" for t, n in SMOOTH),
    ],
    ids=["one list", "a line each", "with t0", "objects"],
)
def test_read_events_may_be_written_in_any_usual_way(tmp_path, text):
    (tmp_path / "events.json").write_text(text)
    assert detect(tmp_path / "events.json").output.startswith("events.json: smooth at 15")


def test_ooni_measurements_are_read_as_ooni_writes_them(tmp_path):
    read = {"address": "192.0.2.1:443", "failure": None, "operation": "read", "proto": "tcp", "t0": 0.0, "tags": []}
    other = [{**read, "operation": "write", "t": 0.01, "num_bytes": 300}, {**read, "t": 99.0, "failure": "eof_error"}]
    events = [{**read, "t": t, "num_bytes": n} for t, n in SMOOTH]
    measurement = {"input": "https://example.com/", "test_keys": {"network_events": events + other}}
    (tmp_path / "ooni.jsonl").write_text(json.dumps(measurement) + "\n")
    assert "smooth at 15" in detect(tmp_path / "ooni.jsonl").output


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("hello\n", "f.json:1: not a read event"),
        ("[[0.1, 5], [0.2]]", "f.json:event 2: not a read event"),
        ("[0.1, 5]\n[0.05, 5]\n", "f.json:2: goes back in time"),
        ("[0.1, 5]\n[0.2, ", "f.json:2: not a read event"),
        ("", "f.json: holds no read events"),
        ('{"schema": "shaper.sample/1"}\n', "f.json:1: not a sample"),
        ('{"test_keys": {"network_events": []}}\n', "f.json: holds no read events"),
        ('{"level": 30}\n', "f.json:1: not a read event"),
    ],
)
def test_anything_else_is_refused_with_file_and_place(tmp_path, text, place):
    (tmp_path / "f.json").write_text(text)
    said = detect(tmp_path / "f.json")
    assert said.exit_code == 2
    assert place in said.output
    assert len(said.output.strip().splitlines()) == 1


def test_the_lines_rate_needs_its_unit(run):
    said = detect(run, "--line", "20")
    assert said.exit_code == 2
    assert '--line: "20" is not a rate' in said.output
    assert "unshaped" in detect(run / "samples.jsonl", "--line", "200 kbit/s").output

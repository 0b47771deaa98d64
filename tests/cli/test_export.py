import json

import pytest
from click.testing import CliRunner
from synthetic_run import make_run

from shaper.cli.main import main
from shaper.measure.run import Run
from shaper.report.parquet import pack


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run", blocks=2, timeout=3.0)


def export(run, out):
    said = CliRunner().invoke(main, ["export", "--ooni", str(run), "-o", str(out)])
    assert said.exit_code == 0, said.output
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_every_transfer_is_one_measurement_with_its_reads_and_its_truth(run, tmp_path):
    measurements = {one["id"]: one for one in export(run, tmp_path / "out.jsonl")}
    transfers = [sample for sample in Run.open(run).samples() if sample.browser is None]
    assert set(measurements) == {sample.id for sample in transfers}
    for sample in transfers:
        one = measurements[sample.id]
        reads = [event for event in one["test_keys"]["network_events"] if event["failure"] is None]
        assert [(event["t0"], event["t"], event["num_bytes"]) for event in reads] == [
            tuple(read) for read in sample.reads
        ]
        assert one["annotations"]["shaper_truth_manner"] == sample.truth.manner
        assert all(isinstance(note, str) for note in one["annotations"].values())


def test_a_timeout_is_the_failure_of_a_read_and_not_of_the_measurement(run, tmp_path):
    late = next(one for one in export(run, tmp_path / "out.jsonl") if one["id"] == "0-announced-h1-clip")
    assert late["test_keys"]["failure"] is None
    assert late["test_keys"]["network_events"][-1]["failure"] == "generic_timeout_error"
    assert late["test_keys"]["network_events"][-1]["t"] == 3.0


def test_no_address_or_network_is_in_it(run, tmp_path):
    for one in export(run, tmp_path / "out.jsonl"):
        assert (one["probe_asn"], one["probe_cc"], one["probe_ip"]) == ("AS0", "ZZ", "127.0.0.1")
        assert one["input"] is None
        assert not [event for event in one["test_keys"]["network_events"] if "address" in event]


def test_a_packed_run_exports_the_same(run, tmp_path):
    lines = export(run, tmp_path / "lines.jsonl")
    list(pack([run]))
    assert export(run, tmp_path / "packed.jsonl") == lines


@pytest.mark.parametrize(
    ("form", "name", "number"), [("ooni", "samples", 25), ("har", "samples", 25), ("har", "journal-announced", 7)]
)
def test_a_broken_run_is_refused_and_nothing_is_left_half_written(run, tmp_path, form, name, number):
    file = run / f"{name}.jsonl"
    assert file.read_bytes().count(b"\n") == number - 1
    with file.open("a") as lines:
        lines.write('{"schema":"shaper.')
    said = CliRunner().invoke(main, ["export", f"--{form}", str(run), "-o", str(tmp_path / "out")])
    assert said.exit_code == 2
    assert f"{name}.jsonl:{number}: not a " in said.output
    assert not (tmp_path / "out").exists()


def har(run, out):
    said = CliRunner().invoke(main, ["export", "--har", str(run), "-o", str(out)])
    assert said.exit_code == 0, said.output
    return json.loads(out.read_text())["log"]


def test_an_archive_has_every_page_with_its_resources_and_every_transfer(run, tmp_path):
    log = har(run, tmp_path / "run.har")
    samples = list(Run.open(run).samples())
    pages = [sample for sample in samples if sample.browser]
    assert log["version"] == "1.2"
    assert [page["id"] for page in log["pages"]] == [sample.id for sample in pages]
    for sample in pages:
        entries = [entry for entry in log["entries"] if entry.get("pageref") == sample.id]
        assert [entry["response"]["bodySize"] for entry in entries] == [one.size for one in sample.browser.resources]
    assert sum("pageref" not in entry for entry in log["entries"]) == len(samples) - len(pages)
    for entry in log["entries"]:
        assert entry["time"] == pytest.approx(sum(entry["timings"].values()), abs=0.01)
        assert set(entry) >= {"startedDateTime", "time", "request", "response", "cache", "timings"}
        assert entry["request"]["url"].split("/")[2].endswith(".invalid")


def test_an_archive_says_where_the_time_of_a_transfer_went(run, tmp_path):
    lines = (run / "journal-announced.jsonl").read_text().splitlines()
    record = next(one for one in map(json.loads, lines) if one["media"] == "image")
    sample = next(one for one in Run.open(run).samples() if one.transfer == record["id"])
    photos = [one for one in har(run, tmp_path / "run.har")["entries"] if "photo" in one["request"]["url"]]
    entry = next(
        one for one in photos if one["_arm"] == "announced" and one["startedDateTime"][:19] == sample.started[:19]
    )
    told = {one["name"]: one["duration"] for one in entry["_serverTiming"]}
    ledger = {"origin": "waiting", "receiving": "receiving", "held": "held", "stalled": "stalled"}
    assert told == {name: pytest.approx(1000 * record[field], abs=0.001) for name, field in ledger.items()}
    assert sum(told.values()) == pytest.approx(1000 * record["duration"], rel=0.2)
    assert entry["response"]["headers"][0]["value"].startswith(f"origin;dur={told['origin']}")


def test_a_packed_run_gives_the_same_archive(run, tmp_path):
    before = har(run, tmp_path / "lines.har")
    list(pack([run]))
    assert har(run, tmp_path / "packed.har") == before


def test_a_format_must_be_named(run, tmp_path):
    said = CliRunner().invoke(main, ["export", str(run), "-o", str(tmp_path / "out")])
    assert said.exit_code == 2
    assert "--ooni, --har: one of them is needed" in said.output

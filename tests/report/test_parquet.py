import fcntl

import duckdb
import pytest
from synthetic_run import make_run

from shaper.measure.run import RunError
from shaper.report.lines import SAMPLES
from shaper.report.parquet import pack
from shaper.report.series import unpacked


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run", blocks=2, pages=False)


def test_packing_says_what_it_did(run):
    done = {packed.file.name: packed for packed in pack([run])}
    assert done["samples.parquet"].records == 18
    assert done["samples.parquet"].after == (run / "samples.parquet").stat().st_size
    assert "18 records" in str(done["samples.parquet"])


def test_a_packed_figure_that_is_no_number_is_refused_in_one_line(run):
    list(pack([run]))
    file, other = run / "samples.parquet", run / "other.parquet"
    with duckdb.connect() as db:
        db.execute(f"COPY (SELECT * REPLACE ('nan'::DOUBLE AS duration) FROM '{file}') TO '{other}' (FORMAT parquet)")
    other.replace(file)
    with pytest.raises(RunError, match=r"samples\.parquet: not packed samples: [^\n]+$"):
        list(unpacked(SAMPLES, file))


def test_packing_again_does_nothing(run):
    list(pack([run]))
    assert list(pack([run])) == []


def test_a_packing_that_was_killed_before_its_last_step_is_finished(run):
    lines = (run / "samples.jsonl").read_bytes()
    list(pack([run]))
    (run / "samples.jsonl").write_bytes(lines)
    (run / "journal-control.parquet.partial").write_bytes(b"half a file")
    assert [packed.file.name for packed in pack([run])] == ["samples.parquet"]
    assert not (run / "samples.jsonl").exists()


def test_other_lines_beside_a_packed_file_are_refused_and_kept(run):
    lines = (run / "samples.jsonl").read_bytes().splitlines(keepends=True)
    list(pack([run]))
    (run / "samples.jsonl").write_bytes(lines[0])
    with pytest.raises(RunError, match="holds other records"):
        list(pack([run]))
    assert (run / "samples.jsonl").exists()


def test_a_file_that_is_being_written_is_refused(run):
    with (run / "journal-control.jsonl").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(RunError, match="is being written"):
            list(pack([run]))


def test_a_directory_that_is_no_run_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="holds neither"):
        list(pack([tmp_path / "empty"]))
    with pytest.raises(RunError, match="not a directory"):
        list(pack([tmp_path / "absent"]))

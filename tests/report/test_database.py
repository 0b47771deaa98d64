import json

import pytest
from synthetic_run import make_run

from shaper.measure.run import Run, RunError, Sample
from shaper.record.transfer import TransferRecord
from shaper.report.columns import column_types
from shaper.report.database import opened
from shaper.report.lines import SAMPLES, TRANSFERS
from shaper.report.parquet import pack


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run [1]", blocks=2)


def count(db, table):
    return db.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]


def test_lines_and_parquet_give_the_same_tables(run):
    def everything():
        with opened([run]) as db:
            return [
                db.execute(f"SELECT * EXCLUDE filename FROM {t} ORDER BY id").fetchall()
                for t in ("samples", "transfers")
            ]

    lines = everything()
    assert len(lines[0]) == len(list(Run.open(run).samples())) == 24
    assert len(lines[1]) == 18
    assert sorted(packed.file.name for packed in pack([run])) == [
        "journal-announced.parquet",
        "journal-control.parquet",
        "journal-measured.parquet",
        "samples.parquet",
    ]
    assert not list(run.glob("*.jsonl"))
    assert everything() == lines


def test_several_runs_are_one_table_that_knows_them_apart(run, tmp_path):
    other = make_run(tmp_path / "other", blocks=1, pages=False)
    list(pack([other]))
    with opened([run, other, run]) as db:
        assert dict(db.execute("SELECT run, count(*) FROM samples GROUP BY run").fetchall()) == {
            str(run): 24,
            str(other): 9,
        }


def test_every_field_is_a_column():
    assert column_types(Sample)["reads"] == "DOUBLE[][]"
    assert column_types(Sample)["browser"].startswith('STRUCT("load" DOUBLE')
    assert column_types(TransferRecord)["estimate"] == "MAP(VARCHAR, DOUBLE)"
    assert column_types(TransferRecord)["flags"] == "VARCHAR[]"


@pytest.mark.parametrize(
    ("name", "tail", "said"),
    [
        ("samples.jsonl", b'{"schema":"shaper.sample/1","id":"x"}\n', "not a sample: block"),
        ("samples.jsonl", b'{"schema":"shaper.sam', "cut short"),
        ("journal-control.jsonl", b'{"schema":"shaper.tran', "cut short"),
        ("journal-control.jsonl", b"{}\n", "not a transfer record"),
        ("journal-control.jsonl", b"\x00\xff\n", "not a transfer record"),
    ],
)
def test_a_broken_cut_or_foreign_line_is_refused_with_file_and_line(run, name, tail, said):
    lines = (run / name).read_bytes()
    (run / name).write_bytes(lines + tail)
    place = rf"{name}:{lines.count(b'\n') + 1}: "
    with pytest.raises(RunError, match=place) as refused, opened([run]):
        pass
    assert said in str(refused.value)
    with pytest.raises(RunError, match=place):
        list(pack([run]))
    assert (run / name).read_bytes() == lines + tail


def test_a_sample_that_is_there_twice_is_refused(run):
    lines = (run / "samples.jsonl").read_bytes()
    (run / "samples.jsonl").write_bytes(lines + lines.splitlines(keepends=True)[0])
    with pytest.raises(RunError, match="is there twice"), opened([run]):
        pass


def test_a_parquet_file_of_something_else_or_cut_short_is_refused(run):
    list(pack([run]))
    whole = (run / "samples.parquet").read_bytes()
    (run / "samples.parquet").write_bytes(whole[:-100])
    with pytest.raises(RunError, match=r"samples\.parquet: not packed samples"), opened([run]):
        pass
    (run / "samples.parquet").write_bytes((run / "journal-control.parquet").read_bytes())
    with pytest.raises(RunError, match=r"samples\.parquet: not packed samples"), opened([run]):
        pass


def test_a_schema_from_the_future_is_refused(run):
    lines = [json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()]
    lines[4]["schema"] = "shaper.sample/2"
    (run / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(RunError, match=r"samples\.jsonl:5: .*shaper\.sample/1"), opened([run]):
        pass


def test_a_table_larger_than_the_memory_is_sorted_on_disk(run):
    with opened([run], memory="128MB") as db:
        db.execute("CREATE TABLE many AS SELECT hash(range) AS h, hash(-range) AS g FROM range(9000000)")  # 144 MB
        query = "SELECT count(*) FROM (SELECT h >= lag(h) OVER (ORDER BY h) AS ordered FROM many) WHERE ordered"
        assert db.execute(query).fetchall() == [(8_999_999,)]


def test_kinds_know_their_schema():
    assert (SAMPLES.schema, TRANSFERS.schema) == ("shaper.sample/1", "shaper.transfer/1")

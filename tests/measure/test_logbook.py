"""A run's directory through kills, torn lines and other people's plans."""

import os
from contextlib import contextmanager
from dataclasses import replace

import pytest

from shaper.measure.logbook import Logbook
from shaper.measure.run import Arm, Conditions, Outcome, Run, RunError, Sample

MADE = Conditions(
    name="pilot", plan="sha256:plan", seed=1, started="", reference="direct", probes=("h1",),
    arms=(Arm(name="direct"), Arm(name="slow", policy="sha256:p")),
    versions={"shaper": "1"}, machine={"cores": "2"}, clock={"source": "monotonic"},
)  # fmt: skip
RECORDS = [b'{"schema":"shaper.transfer/1","id":"%d"}\n' % number for number in range(9)]


def sample(name, arm="slow"):
    return Sample(
        id=name, block="0", order=0, arm=arm, probe="h1", object="photo", media="image", started="2026-03-01T09:00:00Z",
        outcome=Outcome.COMPLETE, timeout=60, duration=1.0,
    )  # fmt: skip


@contextmanager
def writing(path, made=MADE, now="2026-03-01T09:00:00Z"):
    with Logbook(path, made, now) as book:
        yield book


@pytest.fixture
def begun(tmp_path):
    """A run of two samples, the second with two records."""
    with writing(tmp_path) as book:
        book.write(sample("a", "direct"))
        book.write(sample("b"), RECORDS[:2])
    return tmp_path


def found(path):
    return [(each.id, each.records) for each in Run.open(path).samples()]


def test_what_is_written_is_there_before_the_book_is_closed(tmp_path):
    with writing(tmp_path) as book:
        book.write(sample("a"), RECORDS[:3])
        assert found(tmp_path) == [("a", 3)]
        assert (tmp_path / "journal-slow.jsonl").read_bytes() == b"".join(RECORDS[:3])
        assert not book.complete


def test_a_resumed_run_has_what_it_had_and_began_when_it_began(begun):
    with writing(begun, now="2026-03-02T09:00:00Z") as book:
        assert book.done == {"a", "b"}
        book.write(sample("c"), RECORDS[2:3])
        book.end("2026-03-02T10:00:00Z")
    assert found(begun) == [("a", 0), ("b", 2), ("c", 1)]
    assert (begun / "journal-slow.jsonl").read_bytes() == b"".join(RECORDS[:3])
    conditions = Run.open(begun).conditions
    assert (conditions.started, conditions.ended) == ("2026-03-01T09:00:00Z", "2026-03-02T10:00:00Z")
    with writing(begun) as book:
        assert book.complete


@pytest.mark.parametrize("torn", [b"{", b'{"schema":"shaper.sample/1","id":"c"'])
def test_a_torn_line_and_records_without_a_sample_are_cut_off(begun, torn):
    with (begun / "samples.jsonl").open("ab") as file:
        file.write(torn)
    with (begun / "journal-slow.jsonl").open("ab") as file:
        file.write(RECORDS[2] + RECORDS[3][:10])
    with writing(begun) as book:
        assert book.done == {"a", "b"}
        book.write(sample("c"), RECORDS[4:5])
    assert found(begun) == [("a", 0), ("b", 2), ("c", 1)]
    assert (begun / "journal-slow.jsonl").read_bytes() == b"".join([*RECORDS[:2], RECORDS[4]])


def test_wherever_a_kill_cuts_the_files_the_run_can_be_resumed_and_nothing_counts_twice(tmp_path):
    whole = [("a", 0), ("b", 2), ("c", 3)]
    for step in range(
        3
    ):  # killed while sample number `step` was written: at each byte of its records, then of its line
        path = tmp_path / str(step)
        with writing(path) as book:
            for (name, count), at in zip(whole[:step], (0, 0, 2), strict=False):
                book.write(sample(name), RECORDS[at : at + count])
        before = {file: (path / file).read_bytes() for file in ("samples.jsonl", "journal-slow.jsonl")}
        with writing(path) as book:
            book.write(sample(whole[step][0]), RECORDS[5 : 5 + whole[step][1]])
        after = {file: (path / file).read_bytes() for file in before}
        cuts = [(before["samples.jsonl"], after["journal-slow.jsonl"][:n])
                for n in range(len(before["journal-slow.jsonl"]), len(after["journal-slow.jsonl"]), 17)]  # fmt: skip
        cuts += [(after["samples.jsonl"][:n], after["journal-slow.jsonl"])
                 for n in range(len(before["samples.jsonl"]), len(after["samples.jsonl"]), 31)]  # fmt: skip
        for samples, journal in cuts:
            (path / "samples.jsonl").write_bytes(samples)
            (path / "journal-slow.jsonl").write_bytes(journal)
            with writing(path) as book:
                assert len(book.done) == step
            assert found(path) == whole[:step]
            assert (path / "journal-slow.jsonl").read_bytes() == before["journal-slow.jsonl"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"plan": "sha256:other"}, "another plan"),
        (
            {"arms": (Arm(name="direct"), Arm(name="slow", policy="sha256:q"))},
            "other policies or another certificate",
        ),
        ({"versions": {"shaper": "2"}}, "other versions"),
        ({"machine": {"cores": "4"}}, "another machine"),
    ],
)
def test_other_conditions_are_refused_and_change_nothing(begun, changes, said):
    before = {file.name: file.read_bytes() for file in begun.iterdir()}
    with pytest.raises(RunError, match=said), writing(begun, replace(MADE, **changes)):
        pass
    assert {file.name: file.read_bytes() for file in begun.iterdir()} == before


def test_two_cannot_write_one_run(begun):
    with writing(begun), pytest.raises(RunError, match="another process"), writing(begun):
        pass
    with writing(begun):
        pass


def test_records_that_are_missing_are_told(begun):
    os.truncate(begun / "journal-slow.jsonl", len(RECORDS[0]))
    with pytest.raises(RunError, match=r"journal-slow\.jsonl: 1 records of its samples are missing"), writing(begun):
        pass


def test_a_broken_line_in_the_middle_is_refused_with_its_number(begun):
    lines = (begun / "samples.jsonl").read_bytes()
    (begun / "samples.jsonl").write_bytes(b"{}\n" + lines)
    with pytest.raises(RunError, match=r"samples\.jsonl:1: not a sample"), writing(begun):
        pass


def test_a_packed_run_is_not_begun_again(begun):
    (begun / "samples.jsonl").rename(begun / "samples.parquet")
    with pytest.raises(RunError, match="packed"), writing(begun):
        pass
    assert not (begun / "samples.jsonl").exists()

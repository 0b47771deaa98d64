from pathlib import Path

import pytest

from bench.peers.results import Run, read
from bench.peers.table import write
from bench.program import Program


def kept(path: Path, figures, *, version="1.22", link="loopback"):
    run = Run(versions={"nginx": version}, commit="abc", note="Quiet.")
    run.note_load()
    for section, row, column, values in figures:
        for value in values:
            run.results.add(link, section, row, column, value)
    run.keep(path)
    return path


def document(tmp_path, *paths):
    write(tmp_path / "benchmarks.md", *read(paths))
    return (tmp_path / "benchmarks.md").read_text().splitlines()


def test_runs_are_pooled_and_the_document_shows_their_median_best_and_spread(tmp_path):
    first = [
        ("rates", "shaper h1", "1M 100k", [0.99, 1.0]),
        ("rates", "nginx h1", "1M 100k", [3.0]),
        ("rates", "Squid h1", "1M 100k", [None]),
    ]
    second = [("rates", "shaper h1", "1M 100k", [1.2]), ("rates", "nginx h1", "1M 100k", [3.0])]
    rows = document(tmp_path, kept(tmp_path / "1.json", first), kept(tmp_path / "2.json", second))
    assert "| shaper h1 | **1** (0.99-1.2) |" in rows
    assert "| nginx h1 | 3 |" in rows
    assert "| Squid h1 | - |" in rows
    assert sum(row.startswith("- From ") and row.endswith(" Quiet.") for row in rows) == 2


def test_more_is_better_for_a_speed_less_for_a_cost_and_direct_does_not_compete(tmp_path):
    figures = [
        ("passes", "shaper h1", "MB/s", [300]),
        ("passes", "shaper h1", "CPU s/GB", [3]),
        ("passes", "nginx h1", "MB/s", [500]),
        ("passes", "nginx h1", "CPU s/GB", [2]),
        ("passes", "direct h1", "MB/s", [900]),
        ("passes", "direct h1", "CPU s/GB", [0]),
    ]
    rows = document(tmp_path, kept(tmp_path / "1.json", figures))
    assert "| nginx h1 | **500** | **2** |" in rows


def test_each_link_has_a_table_of_its_own_under_one_title(tmp_path):
    figures = [("shares", "shaper", "Jain 10M", [1.0])]
    runs = [kept(tmp_path / f"{link}.json", figures, link=link) for link in ("veth", "loopback")]
    rows = document(tmp_path, *runs)
    assert rows.count("## Ten transfers under one cap") == 1
    assert rows.index("Over loopback:") < rows.index("Over veth:")


def test_runs_of_other_versions_are_not_pooled(tmp_path):
    runs = [kept(tmp_path / "1.json", []), kept(tmp_path / "2.json", [], version="1.24")]
    with pytest.raises(SystemExit, match=r"2\.json: versions differ"):
        read(runs)


def test_a_program_runs_behind_what_goes_before_its_command(tmp_path, monkeypatch):
    monkeypatch.setattr(Program, "within", ("env", "WHERE=there"))
    with Program("sh", "-c", "echo $WHERE; sleep 60", log=tmp_path / "log") as program:
        assert program.wait_for(text="there") < 20

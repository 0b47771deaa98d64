"""The report as files: the page, its pictures and its tables.

DIR/report.html      the page; everything on it is inside it
DIR/report.json      the whole study (an open end of an interval is null)
DIR/figures/         each picture as SVG (it turns with the reader's preference) and PNG
DIR/tables/          each table as CSV and Parquet
DIR/samples.parquet  every sample without its reads, from all runs
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import duckdb
from pydantic import TypeAdapter

from shaper.report.database import opened, quoted
from shaper.report.drawing import styled, write_files
from shaper.report.page import drawn, page, svgs
from shaper.report.study import Study, open_runs, study
from shaper.report.table import Table, tables


def report(paths: Sequence[Path], out: Path, against: str | None = None) -> Study:
    """Analyse runs and write the report into a directory; return what was found."""
    runs = open_runs(paths)
    with opened([run.path for run in runs]) as db:
        found = study(db, runs, against)
        for part in (out, out / "figures", out / "tables"):
            part.mkdir(parents=True, exist_ok=True)
        made = tables(found)
        for table in made.values():
            _write_table(db, table, out / "tables" / f"{table.name}.csv")
        samples = quoted(str(out / "samples.parquet"))
        db.execute(f"COPY (FROM samples SELECT * EXCLUDE (reads, filename)) TO {samples} (FORMAT parquet)")
    with styled():
        figures = drawn(found)
        pictures = svgs(figures)
        for name, figure in figures.items():
            write_files(figure, pictures[name], out / "figures" / name)
    (out / "report.json").write_bytes(TypeAdapter(Study).dump_json(found, indent=1))
    (out / "report.html").write_text(page(found, made, pictures), encoding="utf-8")
    return found


def _write_table(db: duckdb.DuckDBPyConnection, table: Table, path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(table.columns)
        writer.writerows(table.rows)
    source, target = quoted(str(path)), quoted(str(path.with_suffix(".parquet")))
    db.execute(f"COPY (SELECT * FROM read_csv({source}, header=true)) TO {target} (FORMAT parquet)")  # noqa: S608

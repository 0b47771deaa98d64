"""Runs as tables: `samples` and `transfers` in DuckDB, over any number of files, JSON Lines or Parquet alike.

The columns are the fields of Sample and TransferRecord; beside them stand `run` (the directory) and `file` (its name
without the ending). A transfer in journal-NAME is of arm NAME, whatever its client's. Parquet is read where it lies;
JSON Lines are checked line by line, then copied once into a database on disk. Queries work within a fixed memory and
spill to disk beyond it, so memory does not grow with rows.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from shaper.measure.run import RunError
from shaper.report.columns import column_types, required_columns
from shaper.report.lines import KINDS, Kind, check

MEMORY = "1GB"
ARM = r"coalesce(nullif(regexp_extract(parse_filename(filename), '^journal-(.+?)(\.[0-9]+)?\.[a-z]+$', 1), ''), arm)"
LONGEST_LINE = 2**24  # bytes: a transfer of a million reads; each thread sets twice as much aside


@contextmanager
def opened(runs: Sequence[Path], memory: str = MEMORY) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a database with the tables `samples` and `transfers` of all these runs."""
    with TemporaryDirectory(prefix="shaper-") as scratch, database(Path(scratch), memory) as db:
        for kind in KINDS:
            _create(db, kind, list(dict.fromkeys(run.resolve() for run in runs)))
        twice = db.execute("SELECT run, id FROM samples GROUP BY ALL HAVING count(*) > 1 LIMIT 1").fetchone()
        if twice:
            raise RunError(f'{twice[0]}: sample "{twice[1]}" is there twice; keep one of the two lines')
        yield db


@contextmanager
def database(scratch: Path, memory: str = MEMORY) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield an empty database on disk that keeps within its memory."""
    with duckdb.connect(
        scratch / "tables.duckdb", config={"memory_limit": memory, "temp_directory": str(scratch / "spill")}
    ) as db:
        yield db


def check_packed(db: duckdb.DuckDBPyConnection, kind: Kind, file: Path) -> int:
    """Return the number of records in a Parquet file, or refuse a file that is not what `shaper pack` writes."""
    columns = ", ".join(f'CAST("{name}" AS {sort}) AS "{name}"' for name, sort in column_types(kind.type).items())
    wrong = " OR ".join(['"schema" IS DISTINCT FROM ?', *(f'"{name}" IS NULL' for name in required_columns(kind.type))])
    query = f"SELECT count(*), count(*) FILTER ({wrong}) FROM (SELECT {columns} FROM read_parquet(?))"  # noqa: S608
    try:
        rows, refused = db.execute(query, [kind.schema, str(file)]).fetchall()[0]
    except duckdb.Error as error:
        raise RunError(f"{file}: not packed {kind.table}: {str(error).splitlines()[0]}") from None
    if refused:
        raise RunError(f"{file}: {refused} of {rows} rows are not a {kind.noun}; pack the run again from its lines")
    return int(rows)


def reading(kind: Kind, files: Sequence[Path]) -> str:
    """Return SQL that reads these files, all of one format, with their names."""
    names = "[" + ", ".join(quoted(str(file)) for file in files) + "]"
    if files[0].suffix == ".parquet":
        return f"read_parquet({names}, filename=true)"
    columns = ", ".join(f"{quoted(name)}: {quoted(sort)}" for name, sort in column_types(kind.type).items())
    return (
        f"read_json({names}, format='newline_delimited', columns={{{columns}}}, filename=true, "
        f"maximum_object_size={LONGEST_LINE})"
    )


def quoted(text: str) -> str:
    """Return the text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def _create(db: duckdb.DuckDBPyConnection, kind: Kind, runs: Sequence[Path]) -> None:
    """Make the table: a view over the packed files and over one copy of the lines."""
    lines = [file for run in runs for file in kind.lines(run)]
    packed = [file for run in runs for file in kind.packed(run)]
    for file in lines:
        if file.with_suffix(".parquet") in packed:
            raise RunError(f"{file}: is there packed too; run `shaper pack` again to finish what was begun")
        check(kind, file)
    for file in packed:
        check_packed(db, kind, file)
    empty = ", ".join(f'CAST(NULL AS {sort}) AS "{name}"' for name, sort in column_types(kind.type).items())
    db.execute(f"CREATE TABLE {kind.table}_lines AS SELECT {empty}, '' AS filename LIMIT 0")
    if lines:
        db.execute(f"INSERT INTO {kind.table}_lines BY NAME SELECT * FROM {reading(kind, lines)}")  # noqa: S608
    also = f"UNION ALL BY NAME SELECT * FROM {reading(kind, packed)}" if packed else ""  # noqa: S608
    db.execute(
        f"CREATE VIEW {kind.table} AS SELECT * REPLACE ({ARM} AS arm), parse_dirpath(filename) AS run, "  # noqa: S608
        f"parse_filename(filename, true) AS file FROM (SELECT * FROM {kind.table}_lines {also})"
    )

"""Packing: a finished run's JSON Lines become Parquet, a tenth of the size and read in a fraction of the time.

Each file is checked line by line, written beside itself under another name, counted, and only then put in place of
its lines. Killed at any moment, either the lines are there or the packed file is, or both; packing again finishes it.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from shaper.measure.run import RunError
from shaper.report.database import check_packed, database, quoted, reading
from shaper.report.lines import KINDS, Kind, check


@dataclass(frozen=True, slots=True)
class Packed:
    """One file that was packed."""

    file: Path
    records: int
    before: int  # bytes
    after: int

    def __str__(self) -> str:
        return f"{self.file}: {self.records:,} records, {self.before / 1e6:.1f} MB → {self.after / 1e6:.1f} MB"


def pack(runs: Sequence[Path]) -> Iterator[Packed]:
    """Pack every file of these runs, yielding each as it is done."""
    with TemporaryDirectory(prefix="shaper-") as scratch, database(Path(scratch)) as db:
        for run in runs:
            if not run.is_dir():
                raise RunError(f"{run}: not a directory; name a run that `shaper measure` wrote")
            found = [(kind, file) for kind in KINDS for file in kind.lines(run)]
            if not found and not any(kind.packed(run) for kind in KINDS):
                raise RunError(f"{run}: holds neither samples.jsonl nor journal*.jsonl; name a run's directory")
            for kind, file in found:
                yield _pack_file(db, kind, file)


def _pack_file(db: duckdb.DuckDBPyConnection, kind: Kind, lines: Path) -> Packed:
    _refuse_if_written(lines)
    records, before = check(kind, lines), lines.stat().st_size
    packed, partial = lines.with_suffix(".parquet"), lines.with_suffix(".parquet.partial")
    if packed.exists():
        _finish(db, kind, lines, packed, records)
        return Packed(packed, records, before, packed.stat().st_size)
    try:
        db.execute(
            f"COPY (SELECT * EXCLUDE filename FROM {reading(kind, [lines])}) "  # noqa: S608
            f"TO {quoted(str(partial))} (FORMAT parquet, COMPRESSION zstd)"
        )
        if check_packed(db, kind, partial) != records:
            raise RunError(f"{lines}: changed while it was packed; stop what writes it, then pack again")
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(packed)
    finally:
        partial.unlink(missing_ok=True)
    lines.unlink()
    return Packed(packed, records, before, packed.stat().st_size)


def _finish(db: duckdb.DuckDBPyConnection, kind: Kind, lines: Path, packed: Path, records: int) -> None:
    """Remove lines that an earlier packing, killed on its last step, left beside the packed file."""
    if check_packed(db, kind, packed) != records:
        raise RunError(f"{lines}: {packed.name} holds other records; move one of the two to a run of its own")
    lines.unlink()


def _refuse_if_written(lines: Path) -> None:
    """A writer holds a lock on its file."""
    with lines.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"{lines}: is being written; stop what writes it, then pack again") from None

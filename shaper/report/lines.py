"""The kinds of JSON Lines that a run holds, and the check that a file holds nothing else."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from shaper.measure.run import CUT, RunError, Sample, parse_sample
from shaper.record import journal
from shaper.record.transfer import TransferRecord


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of line: its table, its type, and how a line of it is read (ValueError says what is wrong)."""

    table: str
    noun: str
    stem: str  # of its files, as a pattern
    type: type[Sample] | type[TransferRecord]
    parse: Callable[[bytes], object]

    @property
    def schema(self) -> str:
        """What every line says it is."""
        return str(next(field.default for field in fields(self.type) if field.name == "schema"))

    def lines(self, run: Path) -> list[Path]:
        """Return a run's files of JSON Lines of this kind."""
        return sorted(run.glob(f"{self.stem}.jsonl"))

    def packed(self, run: Path) -> list[Path]:
        """Return a run's packed files of this kind."""
        return sorted(run.glob(f"{self.stem}.parquet"))


SAMPLES = Kind("samples", "sample", "samples", Sample, parse_sample)
TRANSFERS = Kind("transfers", "transfer record", "journal*", TransferRecord, journal.parse)
KINDS = (SAMPLES, TRANSFERS)


def check(kind: Kind, file: Path) -> int:
    """Return the number of records in a file. The first line that is none is refused with its number."""
    return sum(1 for _ in records(kind, file))


def records(kind: Kind, file: Path) -> Iterator[object]:
    """Yield the records of a file. The first line that is none is refused with its number."""
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    record = kind.parse(line)
                except ValueError as error:
                    said = error if line.endswith(b"\n") else CUT
                    raise RunError(f"{file}:{number}: not a {kind.noun}: {said}") from None
                yield record
    except OSError as error:
        raise RunError(f"{file}: {error.strerror}") from None

"""A run's directory while it is being written: what is there stays, and is there once.

Of one sample the proxy's records are written first and the sample last, both synced before the next begins. A kill
leaves at most a torn line, or records whose sample is missing; both are cut off when the run is resumed, and that
sample is taken again. The samples' file is locked, so that no two processes write one run.
"""

import fcntl
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Self

from shaper.measure.run import CONDITIONS, SAMPLES, Conditions, Run, RunError, Sample, conditions, encode_sample

MUST_AGREE = {
    "plan": "another plan",
    "arms": "other policies or another certificate",
    "versions": "other versions",
    "machine": "another machine",
}
"""What must be as it was for a run to be resumed, or its samples could not be taken together; and what it is else."""


class Logbook:
    """The samples taken so far are in `done`."""

    def __init__(self, directory: Path, made: Conditions, now: str) -> None:
        """Begin a run under these conditions, or go on with the one that is there."""
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        packed = directory / Path(SAMPLES).with_suffix(".parquet").name
        if packed.exists():
            raise RunError(f"{packed}: this run is packed and ends there; name another directory with --output")
        self._samples = _append_alone(directory / SAMPLES)
        try:
            if (directory / CONDITIONS).exists():
                self._conditions = _agreeing(Run.open(directory), made)
            else:
                self._conditions = replace(made, started=now)
                self._write_conditions()
            self.done, kept = self._mend()
        except RunError:
            self._samples.close()
            raise
        self._journals = {arm.name: _append(self._journal(arm.name), kept[arm.name]) for arm in made.arms if arm.policy}

    @property
    def complete(self) -> bool:
        """Whether the run's last sample was taken."""
        return self._conditions.ended is not None

    def write(self, sample: Sample, records: Sequence[bytes] = ()) -> None:
        """Put a sample on disk, with the lines that the proxy wrote of it."""
        if records:
            _sync(self._journals[sample.arm], b"".join(records))
        _sync(self._samples, encode_sample(replace(sample, records=len(records))))
        self.done.add(sample.id)

    def end(self, now: str) -> None:
        """Note that the last sample was taken."""
        self._conditions = replace(self._conditions, ended=now)
        self._write_conditions()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in (*self._journals.values(), self._samples):
            file.close()

    def _write_conditions(self) -> None:
        temporary = self._directory / f".{CONDITIONS}"
        with temporary.open("wb") as file:
            _sync(file, conditions.dump_json(self._conditions, indent=1) + b"\n")
        temporary.replace(self._directory / CONDITIONS)

    def _journal(self, arm: str) -> Path:
        return self._directory / f"journal-{arm}.jsonl"

    def _mend(self) -> tuple[set[str], Counter[str]]:
        """Cut off a torn last line; return which samples are there, and how many records each arm's have."""
        data = (self._directory / SAMPLES).read_bytes()
        os.truncate(self._directory / SAMPLES, data.rfind(b"\n") + 1)
        done, kept = set(), Counter[str]()
        for sample in Run(self._directory, self._conditions).samples():
            done.add(sample.id)
            kept[sample.arm] += sample.records
        return done, kept


def _agreeing(run: Run, made: Conditions) -> Conditions:
    """Return the conditions of a run that may be resumed."""
    for name, other in MUST_AGREE.items():
        if getattr(run.conditions, name) != getattr(made, name):
            problem = f"this run was begun with {other}"
            raise RunError(f"{run.path / CONDITIONS}: {problem}; name another directory with --output")
    return run.conditions


def _append_alone(path: Path) -> BinaryIO:
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise RunError(f"{path}: another process is taking these samples; wait for it, or stop it") from None
    return file


def _append(path: Path, keep: int) -> BinaryIO:
    """Open a journal to append to, cut to the records that belong to samples."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    if len(lines) < keep:
        raise RunError(
            f"{path}: {keep - len(lines)} records of its samples are missing; restore the file, or begin anew"
        )
    file = path.open("ab")
    file.truncate(sum(map(len, lines[:keep])))
    return file


def _sync(file: BinaryIO, data: bytes) -> None:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())

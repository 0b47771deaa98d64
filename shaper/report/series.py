"""Series to judge, from whatever they were written as.

A run or its samples, OONI measurements (one a line), or the read events of one transfer: `[t, bytes]`,
`[t0, t, bytes]` or `{"t": …, "num_bytes": …}`, as one JSON list or one a line. A journal has no read events: its
transfers are told apart by nothing but their rates, and are series of none.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shaper.measure.run import CONDITIONS, CUT, SAMPLE_SCHEMA, RunError, Sample, first_fault
from shaper.record.transfer import SCHEMA as TRANSFER_SCHEMA
from shaper.record.transfer import TransferRecord
from shaper.report.lines import SAMPLES, TRANSFERS, Kind
from shaper.report.rate import Reads

FORMS = 'a run, its samples or journal, OONI measurements, or read events as [t, bytes] or {"t": …, "num_bytes": …}'


@dataclass(frozen=True, slots=True)
class Series:
    """One transfer to judge. `group` is what it is counted with; a journal's transfer has a rate and no reads."""

    name: str
    group: str
    reads: Reads = ()
    rate: float | None = None
    manner: str | None = None  # truth, when it is known


def series(path: Path) -> Iterator[Series]:
    """Yield the series that a file or run holds; anything else is refused with file and line."""
    if (path / CONDITIONS).exists():
        packed = path / "samples.parquet"
        yield from series(packed if packed.exists() else path / "samples.jsonl")
        return
    if path.suffix == ".parquet":
        kind = TRANSFERS if path.name.startswith("journal") else SAMPLES
        yield from _without_pages(_of_record(record) for record in unpacked(kind, path))
        return
    try:
        text = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path}: {error.strerror}; name {FORMS}") from None
    lines = text.splitlines(keepends=True)
    whole = _json(text) if text.lstrip()[:1] == b"[" else None
    if isinstance(whole, list) and not (whole and isinstance(whole[0], int | float)):
        yield Series(path.name, path.name, _events(path, enumerate(whole, 1), "event "))
    elif lines and (form := _form(lines[0])):
        yield from _without_pages(_of_line(path, number, line, form) for number, line in enumerate(lines, 1))
    else:
        yield Series(path.name, path.name, _events(path, enumerate(map(_json, lines), 1), ""))


def unpacked(kind: Kind, file: Path) -> Iterator[Sample | TransferRecord]:
    """Yield the records of a packed file."""
    import duckdb  # noqa: PLC0415 - the only path that needs it
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415

    from shaper.report.database import check_packed  # noqa: PLC0415

    codec = TypeAdapter(kind.type)
    with duckdb.connect() as db:
        check_packed(db, kind, file)
        rows = db.execute("SELECT to_json(record) FROM read_parquet(?) AS record", [str(file)])
        while batch := rows.fetchmany(1000):
            for (text,) in batch:
                try:
                    record = codec.validate_json(text)
                except ValidationError as error:
                    raise RunError(f"{file}: not packed {kind.table}: {first_fault(error)}") from None
                yield record


def _without_pages(found: Iterator[Series]) -> Iterator[Series]:
    """Leave out page loads, which are many transfers at once, and uploads: they have neither reads nor a rate."""
    return (one for one in found if one.reads or one.rate is not None or one.manner is not None)


def _form(line: bytes) -> str:
    first = _json(line)
    if not isinstance(first, dict):
        return ""
    return (
        "ooni"
        if "test_keys" in first
        else {SAMPLE_SCHEMA: "sample", TRANSFER_SCHEMA: "transfer"}.get(str(first.get("schema")), "")
    )


def _of_line(path: Path, number: int, line: bytes, form: str) -> Series:
    try:
        if form == "ooni":
            return _of_measurement(path, number, json.loads(line))
        return _of_record((SAMPLES if form == "sample" else TRANSFERS).parse(line))
    except (ValueError, KeyError, TypeError) as error:
        reason = f"{str(error).splitlines()[0]}; delete the line" if line.endswith(b"\n") else CUT
        raise RunError(f"{path}:{number}: not a {form} like those before it: {reason}") from None


def _of_record(record: object) -> Series:
    match record:
        case Sample():
            group = f"{record.arm}, {record.media} by {record.probe}"
            reads = () if record.media == "upload" else record.line  # an upload's are those of its answer
            return Series(record.id, group, reads, manner=record.truth.manner if record.truth else None)
        case TransferRecord():
            body = record.duration - (record.client_ttfb or 0.0)
            rate = 8 * record.size / body if body > 0 and record.size else None
            return Series(record.id, f"{record.arm or 'no arm'}, {record.media}", rate=rate)
    raise TypeError(f"{type(record).__name__} is not a record")


def _of_measurement(path: Path, number: int, line: dict[str, Any]) -> Series:
    events = [
        event
        for event in line["test_keys"]["network_events"] or ()
        if event.get("operation") == "read" and event.get("num_bytes") and event.get("failure") is None
    ]
    notes = line.get("annotations") or {}
    name = str(line.get("id") or line.get("input") or number)
    reads = _events(path, ((number, event) for event in events), "")
    return Series(name, notes.get("shaper_arm", path.name), reads, manner=notes.get("shaper_truth_manner"))


def _events(path: Path, events: Iterator[tuple[int, Any]] | Any, place: str) -> Reads:
    """Return events as (t, bytes); the first that is none, or goes back in time, is refused."""
    reads: list[tuple[float, int]] = []
    for number, event in events:
        match event:
            case {"t": int() | float() as t, "num_bytes": int() as size}:
                pass
            case [int() | float() as t, int() as size] | [int() | float(), int() | float() as t, int() as size]:
                pass
            case _:
                raise RunError(f"{path}:{place}{number}: not a read event; write {FORMS}")
        if size < 0 or t < (reads[-1][0] if reads else 0):
            raise RunError(f"{path}:{place}{number}: goes back in time or takes bytes back; sort the events by t")
        reads.append((float(t), size))
    if not reads:
        raise RunError(f"{path}: holds no read events; name {FORMS}")
    return reads


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None

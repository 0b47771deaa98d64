"""Times packing and summarising as many transfer records as a large study makes.

    python bench/pack.py [--records 10000000] [--keep DIR]

Writes a run of made-up journals, as `shaper run` would have, packs it, and summarises it as `shaper report` does. Says
how long each took and how much memory the process needed at most.
"""

import argparse
import json
import resource
import shutil
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import duckdb

from shaper.measure.run import Arm, Conditions, conditions
from shaper.record.transfer import Outcome, TransferRecord
from shaper.report.database import opened, quoted
from shaper.report.ledger import ledgers
from shaper.report.parquet import pack

ARMS = ("control", "announced", "measured", "shadow")
TEMPLATE = TransferRecord(
    id="", time="2026-03-01T09:00:00.000Z", study="bench", policy="sha256:" + 64 * "a",
    certificate="sha256:" + 64 * "b", client=32 * "c", target="twitter-media", rule="photos-and-video", media="image",
    evidence="content-type", reason="matched", manner="smooth", scope="response", rate=150e3, burst=2048,
    client_protocol="h2", origin_protocol="h2", status=200, outcome=Outcome.COMPLETE, size=100_000, received=100_000,
    origin_ttfb=0.02, client_ttfb=0.02, origin_duration=0.5, duration=5.3, waiting=0.02, receiving=0.01, held=5.25,
    stalled=0.02, backlog_peak=65536, achieved=150e3, rate_ratio=1.0,
)  # fmt: skip


def write_run(run, records):
    """Write one journal for each arm, the figures of every line drawn anew."""
    run.mkdir(parents=True)
    made = Conditions(
        name="bench",
        plan="bench/pack.py",
        seed=1,
        started="2026-03-01T09:00:00Z",
        reference="control",
        probes=(),
        arms=tuple(Arm(name=arm) for arm in ARMS),
        versions={},
        machine={},
        clock={},
    )
    (run / "run.json").write_bytes(conditions.dump_json(made))
    (run / "samples.jsonl").touch()
    drawn = {
        "id": "lpad(to_hex(hash(range)), 16, '0')",
        "media": "['image', 'video', 'audio', 'other'][1 + range % 4]",
        "waiting": "random() / 20", "receiving": "random() / 50", "held": "5 + random()", "stalled": "random() / 50",
        "rate_ratio": "0.98 + random() / 25",
    }  # fmt: skip
    with duckdb.connect() as db:
        for arm in ARMS:
            fields = asdict(TEMPLATE) | {"arm": arm}
            columns = ", ".join(f"{drawn.get(k) or literal(v)} AS {k}" for k, v in fields.items())
            path = quoted(str(run / f"journal-{arm}.jsonl"))
            db.execute(f"COPY (SELECT {columns} FROM range({records // len(ARMS)})) TO {path} (FORMAT json)")


def literal(value):
    if value is None:
        return "NULL"
    if isinstance(value, tuple):
        return "[]::VARCHAR[]"
    return quoted(value) if isinstance(value, str) else json.dumps(value)


def timed(what, work):
    start = time.monotonic()
    result = work()
    print(f"{what}: {time.monotonic() - start:.1f} s, {peak():.2f} GB at most so far", flush=True)
    return result


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def summarise(run):
    with opened([run]) as db:
        return ledgers(db, ARMS)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--records", type=int, default=10_000_000)
    options.add_argument("--keep", type=Path, help="a run to make there, or one that was made before")
    asked = options.parse_args()
    run = asked.keep or Path(tempfile.mkdtemp(prefix="shaper-bench-")) / "run"
    try:
        if not run.exists():
            timed("made up", lambda: write_run(run, asked.records))
        for packed in timed("packed", lambda: list(pack([run]))):
            print(f"  {packed}")
        found = timed("summarised", lambda: summarise(run))
        print(f"{sum(one.transfers for one in found):,} records in {len(found)} groups")
    finally:
        if not asked.keep:
            shutil.rmtree(run.parent)


if __name__ == "__main__":
    main()

"""A run as OONI measurements, so that other people's detectors can be scored on flows whose truth is known.

One measurement a line in OONI's base format (ooni/spec, data-formats/df-000-base.md), with the reads as network events
(df-008-netevents.md). The truth is in `annotations`, where no detector looks by itself. A timeout is the failure of
the last read, as OONI has it, and not of the measurement. Addresses and networks were never known: AS0, ZZ, loopback.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from importlib.metadata import version

from shaper.measure.run import Conditions, Outcome, Run, Sample
from shaper.report.lines import SAMPLES
from shaper.report.series import unpacked

TIMEOUT, UNKNOWN = "generic_timeout_error", "unknown_failure"
MOMENT = "%Y-%m-%d %H:%M:%S"


def measurements(run: Run) -> Iterator[str]:
    """Yield a line of JSON for each sample that is no page load, from a run packed or not."""
    packed = run.path / "samples.parquet"
    for sample in unpacked(SAMPLES, packed) if packed.exists() else run.samples():
        if isinstance(sample, Sample) and sample.browser is None:
            yield json.dumps(measurement(run.conditions, sample)) + "\n"


def measurement(conditions: Conditions, sample: Sample) -> dict[str, object]:
    """Return one sample as a measurement."""
    started = datetime.fromisoformat(sample.started)
    events = [{**_event(read.t0, read.t, None), "num_bytes": read.num_bytes} for read in sample.reads]
    failure = {Outcome.COMPLETE: None, Outcome.TIMEOUT: TIMEOUT, Outcome.ERROR: f"{UNKNOWN}: {sample.error}"}
    if sample.outcome is not Outcome.COMPLETE:
        since = sample.reads[-1].t if sample.reads else 0.0
        events.append(_event(since, sample.duration, failure[sample.outcome]))
    return {
        "annotations": _annotations(conditions, sample),
        "data_format_version": "0.2.0",
        "id": sample.id,
        "input": None,
        "measurement_start_time": started.strftime(MOMENT),
        "probe_asn": "AS0",
        "probe_cc": "ZZ",
        "probe_ip": "127.0.0.1",
        "report_id": conditions.plan,
        "software_name": "shaper",
        "software_version": version("shaper"),
        "test_helpers": {},
        "test_keys": {
            "failure": failure[sample.outcome] if sample.outcome is Outcome.ERROR else None,
            "network_events": events,
        },
        "test_name": "shaper_throughput",
        "test_runtime": sample.duration,
        "test_start_time": datetime.fromisoformat(conditions.started).strftime(MOMENT),
        "test_version": "0.1.0",
    }


def _event(since: float, until: float, failure: str | None) -> dict[str, object]:
    return {
        "failure": failure, "operation": "read", "proto": "tcp", "t0": since, "t": until,
        "transaction_id": 1, "conn_id": 1, "tags": [],
    }  # fmt: skip


def _annotations(conditions: Conditions, sample: Sample) -> dict[str, str]:
    """Return what is known of the sample beside its events; OONI's annotations are text."""
    truth = sample.truth
    known = {
        "study": conditions.name,
        "arm": sample.arm,
        "block": sample.block,
        "object": sample.object,
        "media": sample.media,
        "protocol": sample.protocol,
        "truth_manner": truth.manner if truth else "unknown",
        "truth_rate_bit_per_second": f"{truth.rate:g}" if truth and truth.rate else "",
        "truth_burst_bytes": str(truth.burst) if truth and truth.burst else "",
        "truth_scope": truth.scope if truth else "",
    }
    return {f"shaper_{key}": value for key, value in known.items() if value}

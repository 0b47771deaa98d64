"""A run as one HTTP Archive (HAR 1.2): each page load a page with its resources, each single transfer an entry.

Of a host or a URL nothing is known here: resources stand under `https://OBJECT.invalid/NAME`. Where the time went is in
`_serverTiming`, in milliseconds: of a page's resource what the browser could read, of a single transfer the proxy's
ledger, under the same names. It is also in `headers`, as the field a server would have sent.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from importlib.metadata import version
from itertools import chain
from typing import Any
from urllib.parse import quote

from shaper.measure.run import Resource, Run, Sample, ServerTiming
from shaper.record.transfer import TransferRecord
from shaper.report.lines import SAMPLES, TRANSFERS, Kind, records
from shaper.report.series import unpacked

HTTP = {"h1": "HTTP/1.1", "h2": "HTTP/2", "h3": "HTTP/3"}
UNKNOWN = -1  # HAR's word for it
EMPTY = {"cookies": [], "headersSize": UNKNOWN}
LEDGER = {"origin": "waiting", "receiving": "receiving", "held": "held", "stalled": "stalled"}


def archive(run: Run) -> Iterator[str]:
    """Yield the pieces of the document."""
    creator = {"name": "shaper", "version": version("shaper")}
    yield f'{{"log":{{"version":"1.2","creator":{json.dumps(creator)},"pages":['
    yield from _joined(_page(sample) for sample in _samples(run) if sample.browser)
    yield '],"entries":['
    accounts = {record.id: record for record in _records(run)}
    yield from _joined(chain.from_iterable(_entries(sample, accounts) for sample in _samples(run)))
    yield "]}}\n"


def _joined(values: Iterable[dict[str, Any]]) -> Iterator[str]:
    for number, value in enumerate(values):
        yield ("," if number else "") + "\n" + json.dumps(value)


def _samples(run: Run) -> Iterator[Sample]:
    yield from (sample for sample in _all(run, SAMPLES) if isinstance(sample, Sample))


def _records(run: Run) -> Iterator[TransferRecord]:
    linked = {sample.transfer for sample in _samples(run)}
    yield from (one for one in _all(run, TRANSFERS) if isinstance(one, TransferRecord) and one.id in linked)


def _all(run: Run, kind: Kind) -> Iterator[object]:
    """Yield a run's records of a kind, packed or not."""
    for file in kind.packed(run.path):
        yield from unpacked(kind, file)
    for file in kind.lines(run.path):
        yield from records(kind, file)


def _page(sample: Sample) -> dict[str, Any]:
    assert sample.browser
    return {
        "id": sample.id,
        "startedDateTime": sample.started,
        "title": f"{sample.object}, {sample.arm}",
        "pageTimings": {
            "onContentLoad": _known(sample.browser.interactive),
            "onLoad": _known(sample.browser.load),
            "_largestContentfulPaint": _ms(sample.browser.lcp),
        },
    }


def _entries(sample: Sample, accounts: dict[str, TransferRecord]) -> Iterator[dict[str, Any]]:
    if sample.browser:
        yield from ({"pageref": sample.id} | _entry(sample, one) for one in sample.browser.resources)
        return
    account = accounts.get(sample.transfer or "")
    told = [ServerTiming(name=name, duration=getattr(account, field)) for name, field in LEDGER.items() if account]
    one = Resource(
        name="", media=sample.media, start=0.0, response=sample.ttfb, end=sample.duration, size=sample.received,
        protocol=sample.protocol, server_timing=tuple(told),
    )  # fmt: skip
    yield _entry(sample, one) | {"_outcome": sample.outcome}


def _entry(sample: Sample, one: Resource) -> dict[str, Any]:
    begun = datetime.fromisoformat(sample.started) + timedelta(seconds=one.start)
    took = max(0.0, (sample.duration if one.end is None else one.end) - one.start)
    wait = took if one.response is None else min(took, max(0.0, one.response - one.start))
    spoken = HTTP.get(one.protocol, one.protocol)
    timing = [
        {"name": each.name, "duration": _ms(each.duration), "description": each.description}
        for each in one.server_timing
    ]
    fields = [{"name": "server-timing", "value": ", ".join(map(_field, timing))}] if timing else []
    return {
        "startedDateTime": begun.isoformat(timespec="milliseconds"),
        "time": _ms(took),
        "request": {
            "method": "POST" if sample.media == "upload" else "GET",
            "url": f"https://{sample.object}.invalid/{quote(one.name)}",
            "httpVersion": spoken,
            "headers": [],
            "bodySize": UNKNOWN,
            **EMPTY,
            "queryString": [],
        },
        "response": {
            "status": sample.status,
            "statusText": "",
            "httpVersion": spoken,
            "headers": fields,
            "content": {"size": one.size, "mimeType": "x-unknown"},
            "redirectURL": "",
            "bodySize": one.size,
            **EMPTY,
        },
        "cache": {},
        "timings": {"send": 0, "wait": _ms(wait), "receive": _ms(took - wait)},
        "_serverTiming": timing,
        "_resourceType": one.media,
        "_arm": sample.arm,
    }


def _field(entry: dict[str, Any]) -> str:
    duration = f";dur={entry['duration']}" if entry["duration"] is not None else ""
    description = f';desc="{entry["description"]}"' if entry["description"] else ""
    return f"{entry['name']}{duration}{description}"


def _known(seconds: float | None) -> float:
    return UNKNOWN if seconds is None else round(seconds * 1000, 3)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)

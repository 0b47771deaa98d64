"""Run directories with a known truth: what `shaper measure` would write, made up from a seed in a moment."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np

from shaper.measure.run import (
    Arm,
    Browser,
    Conditions,
    Outcome,
    ReadEvent,
    Resource,
    Sample,
    Truth,
    conditions,
    encode_sample,
    parse_sample,
)
from shaper.record import journal
from shaper.record.transfer import Outcome as Ending
from shaper.record.transfer import TransferRecord

OBJECTS = {"photo": ("image", 100_000), "clip": ("video", 200_000), "script": ("other", 60_000)}
LINE = 40e6  # bit/s, unshaped
START = datetime(2026, 3, 1, 9, tzinfo=UTC)

CONTROL = {}
ANNOUNCED = {"image": Truth(manner="smooth", rate=150e3, burst=2048), "video": Truth(manner="smooth", rate=150e3)}
MEASURED = dict.fromkeys(("image", "video", "other"), Truth(manner="window", rate=150e3, burst=18_750))
POLICED = dict.fromkeys(("image", "video", "other"), Truth(manner="police", rate=150e3, burst=16_000))
NONE = Truth(manner="none")


def unshaped(rng, size, start, rate=LINE):
    """A path's own rate: rounds that grow, then wander."""
    reads, at, left, window = [], start, size, 14_600
    while left > 0:
        for _ in range(int(min(window, rate / 8 * 0.01) / 1448)):
            if left > 0:
                reads.append((at, min(left, 1448)))
                left, at = left - 1448, at + 1448 * 8 / rate * rng.lognormal(0, 0.3)
        at += 0.004 * rng.lognormal(0, 0.3)
        window *= 2
    return reads


def smooth(rng, size, start, rate, burst=2048):
    """Continuous refill: pieces of 20 ms, with a little lag."""
    step = rate / 8 * 0.02
    sizes = [min(burst, size)] + [int(step)] * int((size - burst) / step)
    sizes += [size - sum(sizes)] * (size > sum(sizes))
    return [(start + 0.02 * i + rng.uniform(0, 0.004), n) for i, n in enumerate(sizes)]


def window(rng, size, start, rate):
    """A second's allowance at once, then silence."""
    reads, whole = [], int(rate / 8)
    for second in range(-(-size // whole)):
        left = min(whole, size - second * whole)
        at = start + second + rng.uniform(0, 0.005)
        while left > 0:
            reads.append((at, min(left, 4096)))
            at, left = at + 0.0005, left - 4096
    return reads


def police(rng, size, start, rate):
    """Drops: a burst, then rounds that come irregularly, with retransmission timeouts that double."""
    reads, at, left, backoff = [], start, size, 0.2
    tokens, since = 16_000.0, start
    while left > 0:
        tokens, since = min(16_000.0, tokens + (at - since) * rate / 8), at
        got = int(min(left, tokens, 1460 * rng.integers(1, 12)) // 1460 * 1460) or min(left, 1460) * (tokens >= 1460)
        for piece in [1460] * (got // 1460) or [got] * (got > 0):
            reads.append((at, piece))
            at += 0.0004
        left, tokens = left - got, tokens - got
        backoff = min(backoff * 2, 1.7) if tokens < 1460 else 0.2
        at += backoff * rng.uniform(0.8, 1.3) if tokens < 4000 else rng.uniform(0.01, 0.06)
    return reads


def reads_of(rng, truth, size, start):
    if truth.manner == "none":
        return unshaped(rng, size, start)
    return {"smooth": smooth, "window": window, "police": police}[truth.manner](rng, size, start, truth.rate)


def one_sample(rng, block, order, arm, truths, name, timeout=60.0, lag=1.0, probe="h1"):
    media, size = OBJECTS[name]
    truth = truths.get(media, NONE)
    reads = [(t * lag, n) for t, n in reads_of(rng, truth, size, 0.02 * rng.lognormal(0, 0.25))]
    seen = tuple((round(t, 6), n) for t, n in reads if t <= timeout)
    events = tuple(ReadEvent(t0, t, n) for (t0, _), (t, n) in pairwise([(0.0, 0), *seen]))
    late = reads[-1][0] > timeout
    return Sample(
        id=f"{block}-{arm}-{probe}-{name}",
        block=str(block),
        order=order,
        arm=arm,
        probe=probe,
        object=name,
        media=media,
        protocol=probe,
        started=(START + timedelta(minutes=block, seconds=10 * order)).isoformat(),
        outcome=Outcome.TIMEOUT if late else Outcome.COMPLETE,
        status=200,
        timeout=timeout,
        duration=timeout if late else reads[-1][0],
        handshake=0.004,
        ttfb=reads[0][0],
        expected=size,
        received=sum(n for _, n in seen),
        intact=None if late else True,
        reads=events,
        transfer=f"t-{block}-{arm}-{probe}-{name}",
        truth=truth,
    )


def one_page(rng, block, order, arm, truths):
    """A page of twelve images, a script and a video, six connections at a time."""
    resources, free = [], [0.05] * 6
    for i, media in enumerate(["other", *["image"] * 12, "video"]):
        size = {"other": 30_000, "image": 40_000, "video": 60_000}[media]
        truth = truths.get(media, NONE)
        took = size * 8 / (truth.rate or LINE * rng.uniform(0.5, 1)) + 0.01 * rng.lognormal(0, 0.3)
        slot = int(np.argmin(free))
        start, free[slot] = free[slot], free[slot] + took
        resources.append(
            Resource(
                name=f"{media}-{i}",
                media=media,
                start=start,
                response=start + 0.01,
                end=start + took,
                size=size,
                protocol="h1",
            )
        )
    ends = [r.end for r in resources if r.media == "image"]
    load = max(r.end for r in resources)
    return Sample(
        id=f"{block}-{arm}-page",
        block=str(block),
        order=order,
        arm=arm,
        probe="chromium",
        object="timeline",
        media="page",
        protocol="h1",
        started=(START + timedelta(minutes=block, seconds=10 * order)).isoformat(),
        outcome=Outcome.COMPLETE,
        status=200,
        timeout=60.0,
        duration=load,
        browser=Browser(
            load=load,
            interactive=resources[0].end + 0.01,
            lcp=ends[0],
            images=12,
            images_complete={str(t): float(np.mean(np.array(ends) <= t)) for t in (5, 10, 30)},
            video_join=resources[-1].end,
            rebuffer=0.0 if "video" not in truths else float(rng.uniform(1, 3)),
            switches=0,
            resources=tuple(resources),
        ),
    )


def one_record(rng, sample):
    """The proxy's side of a sample."""
    shaped = sample.truth.manner != "none"
    body = sample.duration - sample.ttfb
    held = max(0.0, body - 0.01) * 0.99 if shaped else 0.0
    achieved = sample.received * 8 / body
    return TransferRecord(
        id=sample.transfer,
        time=sample.started,
        study="synthetic",
        policy=f"sha256:{sample.arm}",
        certificate="sha256:certificate",
        arm=sample.arm,
        target="media",
        rule="photos-and-video" if shaped else "",
        media=sample.media,
        evidence="content-type",
        reason="matched" if shaped else "uncapped",
        manner=sample.truth.manner if shaped else "",
        rate=sample.truth.rate,
        client_protocol=sample.probe,
        origin_protocol="h1",
        status=200,
        outcome=Ending.COMPLETE if sample.outcome is Outcome.COMPLETE else Ending.CLIENT_ABORT,
        size=sample.received,
        received=sample.received,
        origin_ttfb=sample.ttfb / 2,
        client_ttfb=sample.ttfb,
        origin_duration=sample.ttfb,
        duration=sample.duration,
        waiting=sample.ttfb,
        receiving=body - held - 0.1 * (body - held),
        held=held,
        stalled=0.1 * (body - held),
        achieved=achieved,
        rate_ratio=achieved / sample.truth.rate if shaped else None,
    )


def make_run(path, arms=None, blocks=12, seed=1, timeout=60.0, lags=None, pages=True, certificate="sha256:certificate"):
    """Write a run. `arms` is name → media → Truth; `lags` stretches an arm's times by a factor."""
    arms = arms or {"control": CONTROL, "announced": ANNOUNCED, "measured": MEASURED}
    rng = np.random.default_rng(seed)
    path.mkdir(parents=True, exist_ok=True)
    made = Conditions(
        name="synthetic",
        plan="sha256:plan",
        seed=seed,
        started=START.isoformat(),
        ended=(START + timedelta(hours=1)).isoformat(),
        arms=tuple(Arm(name=name, policy=f"sha256:{name}", certificate=certificate) for name in arms),
        reference="control",
        probes=("h1", "chromium") if pages else ("h1",),
        versions={"shaper": "0.1.0", "mitmproxy": "12.2.3"},
        machine={"cores": "2", "system": "synthetic"},
        clock={"source": "monotonic", "resolution": "1e-09"},
    )
    (path / "run.json").write_bytes(conditions.dump_json(made))
    journals = {arm: [] for arm in arms}
    with (path / "samples.jsonl").open("wb") as file:
        for block in range(blocks):
            for order, arm in enumerate(rng.permutation(list(arms))):
                lag = (lags or {}).get(arm, 1.0) * rng.lognormal(0, 0.02)
                for name in OBJECTS:
                    sample = one_sample(rng, block, order, str(arm), arms[arm], name, timeout, lag)
                    file.write(encode_sample(sample))
                    journals[arm].append(one_record(rng, sample))
                if pages:
                    file.write(encode_sample(one_page(rng, block, order, str(arm), arms[arm])))
    for arm, records in journals.items():
        (path / f"journal-{arm}.jsonl").write_bytes(b"".join(journal.codec.dump_json(r) + b"\n" for r in records))
    return path


def rewrite(path, change):
    """Pass every sample of a run through `change` (a dict of replaced fields, or None to drop the sample)."""
    lines = (path / "samples.jsonl").read_bytes().splitlines(keepends=True)
    changed = ((sample, change(sample)) for sample in map(parse_sample, lines))
    kept = [encode_sample(replace(sample, **new)) for sample, new in changed if new is not None]
    (path / "samples.jsonl").write_bytes(b"".join(kept))


def edit_conditions(path, **new):
    text = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps(text | new))

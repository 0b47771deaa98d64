"""A study's figures as tables: on the page for people, as CSV and Parquet for notebooks."""

from collections.abc import Sequence
from dataclasses import dataclass

from shaper.report.claim import amount, interval, p_value
from shaper.report.completion import MARKS
from shaper.report.drawing import TIMES, bitrate, seconds
from shaper.report.study import Study

type Cell = str | int | float | None


@dataclass(frozen=True, slots=True)
class Table:
    """Columns with their rows. `shown` are the same rows as people read them."""

    name: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    headings: tuple[str, ...]
    shown: tuple[tuple[str, ...], ...]


def tables(study: Study) -> dict[str, Table]:
    """Return all tables by name."""
    made = [_samples(study), _differences(study), _flows(study), _ledger(study), _images(study), _resources(study)]
    return {table.name: table for table in made}


def _samples(study: Study) -> Table:
    columns = ("media", "probe", "arm", "begun", "complete", "timeouts", "errors", "corrupt", "p10", "p50", "p90")
    rows, shown = [], []
    for one in study.distributions:
        quantiles = [one.quantile(share) for share in (0.1, 0.5, 0.9)]
        counts = (one.begun, one.begun - one.timeouts - one.errors, one.timeouts, one.errors, one.corrupt)
        rows.append((one.panel.media, one.panel.probe, one.arm, *counts, *quantiles))
        times = [seconds(value) if value is not None else "never" for value in quantiles]
        shown.append((str(one.panel), one.arm, *map(str, counts), *times))
    return Table(
        "samples",
        "What was measured, and after which time 10, 50 and 90 % of all begun were complete",
        columns,
        tuple(rows),
        ("what", "arm", "begun", "complete", "timed out", "failed", "wrong hash", "10 %", "50 %", "90 %"),
        tuple(shown),
    )


def _differences(study: Study) -> Table:
    columns = (
        "figure", "media", "probe", "arm", "reference", "factor", "estimate_low", "estimate_high", "lower", "upper",
        "p", "p_family", "effect_low", "effect_high", "pairs", "censored", "power_of_a_fifth", "pairs_needed",
        "smallest",
    )  # fmt: skip
    rows, shown = [], []
    for one in study.differences:
        found = one.shift
        estimate = [one.natural(value) for value in found.estimate]
        ends = [one.natural(found.lower), one.natural(found.upper)]
        smallest = one.natural(one.smallest) if one.smallest is not None else None
        rows.append((
            one.metric, one.panel.media, one.panel.probe, one.arm, one.reference, one.factor, *estimate, *ends,
            found.p, one.p_family, *found.effect, found.pairs, found.censored, one.power, one.pairs_needed, smallest,
        ))  # fmt: skip
        effect = f"{found.effect[0]:+.2f}" + (f" to {found.effect[1]:+.2f}" if found.censored else "")
        shown.append((
            one.label, str(one.panel), one.arm, amount(one), interval(one),
            _bare(found.p), _bare(one.p_family),
            effect, str(found.pairs), str(found.censored),
            "" if one.power is None else f"{one.power:.2f}",
            "" if one.power is None else str(one.pairs_needed or "> 1000"),
            "" if smallest is None else f"{TIMES}{smallest:.3g}",
        ))  # fmt: skip
    return Table(
        "differences",
        f"Paired differences from {study.reference}: Hodges-Lehmann estimate and interval, Wilcoxon's signed-rank test",
        columns,
        tuple(rows),
        ("measure", "what", "arm", "estimate", "95 %", "p", "p, family", "effect", "pairs", "unfinished",
         "power, a fifth", "pairs for 0.8", "smallest found"),
        tuple(shown),
    )  # fmt: skip


def _flows(study: Study) -> Table:
    columns = (
        "media", "probe", "arm", "flows", "asked", "goodput_p10", "goodput_p50", "goodput_p90", "settled_p10",
        "settled_p50", "settled_p90", "settled", "steady", "looks", "ks", "ks_p", "wehe_different", "wehe_pairs",
    )  # fmt: skip
    rows, shown = [], []
    for one in study.behaviours:
        looks = ", ".join(f"{look} {count}" for look, count in sorted(one.looks.items(), key=lambda item: -item[1]))
        asked = one.asked[0] if len(one.asked) == 1 else None
        ks = (one.times.distance, one.times.p) if one.times else (None, None)
        rows.append((
            one.panel.media, one.panel.probe, one.arm, one.flows, asked, *one.goodput,
            *(one.settled or (None,) * 3),
            one.converged, one.steady, looks, *ks, *(one.wehe or (None, None)),
        ))  # fmt: skip
        shown.append((
            str(one.panel), one.arm, str(one.flows), ", ".join(map(bitrate, one.asked)) or "none",
            _spread(one.goodput), _spread(one.settled) if one.settled else "too short to tell",
            f"{one.steady} of {one.converged}" if one.converged else "", looks,
            f"{one.times.distance:.2f}, {p_value(one.times.p)}" if one.times else "",
            f"{one.wehe[0]} of {one.wehe[1]}" if one.wehe else "",
        ))  # fmt: skip
    return Table(
        "flows",
        "Flows: their rates (middle, and the band of 80 %), what they look like, and how their times differ as flows",
        columns,
        tuple(rows),
        ("what", "arm", "flows", "asked for", "goodput", "settled at", "steady", "looks", "KS over flows",
         "Wehe's rule: different"),
        tuple(shown),
    )  # fmt: skip


def _ledger(study: Study) -> Table:
    columns = (
        "media", "arm", "transfers", "waiting", "receiving", "held", "stalled", "asked", "ratio_p5", "ratio_p50",
        "ratio_p95", "flagged",
    )  # fmt: skip
    rows, shown = [], []
    for one in study.ledgers:
        parts = (one.waiting, one.receiving, one.held, one.stalled)
        rows.append(
            (one.panel.media, one.arm, one.transfers, *parts, one.asked, *(one.ratio or (None,) * 3), one.flagged)
        )
        ratio = f"{one.ratio[1]:.3f} ({one.ratio[0]:.3f} to {one.ratio[2]:.3f})" if one.ratio else ""
        shown.append((
            one.panel.media, one.arm, f"{one.transfers:,}", *map(seconds, parts), seconds(one.total),
            bitrate(one.asked) if one.asked else "", ratio, str(one.flagged),
        ))  # fmt: skip
    return Table(
        "ledger",
        "Where a transfer's time went, on average, and its rate over the one configured (middle, and the band of 90 %)",
        columns,
        tuple(rows),
        ("media", "arm", "transfers", "origin, before", "origin, within", "held", "client", "in all", "asked for",
         "achieved / asked", "flagged"),
        tuple(shown),
    )  # fmt: skip


def _images(study: Study) -> Table:
    marks = tuple(f"complete_{mark:g}s" for mark in MARKS)
    rows = tuple((one.page, one.arm, one.probe, one.loads, one.images, *one.marks) for one in study.completions)
    shown = tuple(
        (one.page, one.arm, one.probe, str(one.loads), str(one.images), *map(_percent, one.marks))
        for one in study.completions
    )
    return Table(
        "images",
        "Images of a page that were complete, on average",
        ("page", "arm", "probe", "loads", "images", *marks),
        rows,
        ("page", "arm", "probe", "loads", "images", *(f"after {mark:g} s" for mark in MARKS)),
        shown,
    )


def _resources(study: Study) -> Table:
    rows = tuple(
        (fall.arm, bar.name, bar.media, bar.start, bar.response, bar.end)
        for fall in study.waterfalls
        for bar in sorted(fall.bars, key=lambda bar: bar.start)
    )
    shown = tuple(
        (arm, name, media, _time(start), _time(response), _time(end)) for arm, name, media, start, response, end in rows
    )
    return Table(
        "resources",
        "The resources of the page loads shown, since navigation began",
        ("arm", "resource", "media", "start", "response", "end"),
        rows,
        ("arm", "resource", "media", "asked for", "first byte", "complete"),
        shown,
    )


def _time(value: float | None) -> str:
    return "never" if value is None else seconds(value)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def _bare(p: float) -> str:
    return p_value(p).removeprefix("p ").removeprefix("= ")


def _spread(values: Sequence[float]) -> str:
    low, middle, high = map(bitrate, values)
    if low.split()[1] == middle.split()[1]:
        low = low.split()[0]
    return f"{middle} ({low} to {high})"

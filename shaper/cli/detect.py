"""`shaper detect`: what transfers look like from outside, and at which rate."""

import json
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import click

from shaper.cli.analysis import UnusableError, analysing
from shaper.policy.units import format_rate, parse_rate

if TYPE_CHECKING:
    from shaper.report.series import Series
    from shaper.report.signature import Signature


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--line", metavar="RATE", help="What the line gives unshaped, as '20 Mbit/s' (the default).")
@click.option("--each", is_flag=True, help="Say it of every transfer.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document a transfer.")
def detect(file: Path, line: str | None, each: bool, as_json: bool) -> None:
    """
    Say if transfers look unshaped, smooth, windowed or policed.

    It says so where it cannot tell.

    FILE is a run, its samples or journal, OONI measurements, or read events: [t, bytes] or {"t": …, "num_bytes": …}.
    """
    with analysing("shaper detect"):
        from shaper.report.series import series  # noqa: PLC0415 - keeps `shaper --help` quick
        from shaper.report.signature import LINE, LOOKS, Look, judge  # noqa: PLC0415

        unshaped = _rate(line) if line else LINE
        groups: dict[str, list[tuple[Series, Signature]]] = defaultdict(list)
        for one in series(file):
            found = judge(one.reads, one.rate, unshaped)
            groups[one.group].append((one, found))
            if as_json:
                click.echo(json.dumps({"transfer": one.name, "group": one.group, "truth": one.manner, **asdict(found)}))
            elif each:
                click.echo(f"{one.name}: {found}")
    if as_json:
        return
    for group, judged in groups.items():
        click.echo(f"{group}: {_summary([found for _, found in judged])}")
    labelled = [(LOOKS.get(one.manner), found.look) for same in groups.values() for one, found in same if one.manner]
    if labelled:
        right = sum(truth is look for truth, look in labelled)
        unsure = sum(look is Look.INCONCLUSIVE for _, look in labelled)
        wrong = len(labelled) - right - unsure
        click.echo(f"labelled with the truth: {len(labelled)}; right {right}, inconclusive {unsure}, wrong {wrong}")


def _summary(found: list["Signature"]) -> str:
    """Say what several transfers look like, most of them first; one alone says why."""
    if len(found) == 1:
        return str(found[0])
    counts = defaultdict(list)
    for one in found:
        counts[one.look].append(one)
    parts = []
    for look, same in sorted(counts.items(), key=lambda item: -len(item[1])):
        rates = [one.rate for one in same if one.rate]
        rate = f" at {format_rate(median(rates), 3)}" if rates else ""
        parts.append(f"{len(same)} of {len(found)} {look}{rate}, as {same[0].evidence}")
    return "; ".join(parts)


def _rate(text: str) -> float:
    try:
        return parse_rate(text)
    except ValueError as error:
        raise UnusableError(f"--line: {error}") from None

"""The demo's findings as a table and a verdict that a person can read, in 80 columns."""

from itertools import groupby

from rich.console import Console

from shaper.cli.findings import Findings, Trial
from shaper.measure.fetched import Fetched
from shaper.policy.words import effects

HEAD = """\
                                   Achieved     Without        With Verified
                                     kbit/s     seconds     seconds    bytes
Resource                Class     h1    h2    h1    h2    h1    h2"""
FOOT = """\
h1: HTTP/1.1, one connection a response. h2: HTTP/2, one connection a host.
Without: the same visit through the same proxy, with no cap."""


def show(findings: Findings, console: Console) -> None:
    """Print both."""

    def say(text: str) -> None:
        console.print(text, highlight=False, soft_wrap=True)

    say(f"\n[dim]{HEAD}[/]")
    for heading, rows in groupby(_rows(findings), key=lambda row: _heading(findings, row[0])):
        say(f"\n[bold]{heading}[/]")
        for row in rows:
            say(_line(row))
    say(f"\n[dim]{FOOT}[/]\n")
    for check in findings.checks():
        say(f"{'[green]ok[/]  ' if check.ok else '[red]FAIL[/]'} {check.name:<11} {check.says}")
    say(f"\n{'Within tolerance' if findings.ok else '[red]Out of tolerance[/]'}, in {findings.seconds:.0f} s.")


def _rows(findings: Findings) -> list[tuple[Trial, ...]]:
    """Return the trials of each resource, host by host, what is slowed first."""
    order = {host: place for place, host in enumerate(findings.page.hosts)}
    resources = dict.fromkeys(trial.resource for trial in findings.trials)
    rows = [tuple(trial for trial in findings.trials if trial.resource == resource) for resource in resources]
    return sorted(rows, key=lambda row: (order[row[0].resource.host], row[0].limit is None))


def _heading(findings: Findings, trial: Trial) -> str:
    host, rule = trial.resource.host, trial.due.rule
    if host == findings.page.elsewhere:
        return f"{host}, not a target: tunnelled"
    if rule is None or trial.limit is None:
        return f"{host}, a target: nothing slows these"
    return f"{host}, a target, rule {rule.name}:\n  {'; '.join(effects(rule))}"


def _line(row: tuple[Trial, ...]) -> str:
    first = row[0]
    colour = "yellow" if first.limit else "green"
    cells = (
        f"{first.resource.path:<23}",
        f"{first.record.media if first.record else '-':<6}",
        " ".join(f"{trial.rate / 1000:5.1f}" if trial.rate else f"{'-':>5}" for trial in row),
        " ".join(_seconds(trial.free) for trial in row),
        f"[{colour}]{' '.join(_seconds(trial.shaped) for trial in row)}[/]",
        f"{first.resource.body.size:8,}" if all(trial.intact for trial in row) else "[red]  BROKEN[/]",
    )
    return " ".join(cells)


def _seconds(fetched: Fetched) -> str:
    return f"{fetched.duration:.3f}"[:5]

"""`shaper check`: a policy is valid, or it says on one line each what is wrong, where, and what to write instead.

Of a valid policy, NOTES say what whoever runs it here and now should know.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from shaper.policy.model import Policy


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
def check(files: tuple[Path, ...]) -> None:
    """Validate policy files; exit 1 if any is not valid."""
    from shaper.policy.load import PolicyError, load  # noqa: PLC0415 - imported here so that `shaper --help` is quick

    broken = False
    for file in files:
        try:
            policy = load(file)
        except PolicyError as error:
            broken = True
            for problem in (error, *error.further):
                click.echo(str(problem), err=True)
        else:
            rules = f"{len(policy.rules)} rule{'s' if len(policy.rules) > 1 else ''}"
            click.echo(f"{file}: study {policy.study}, {rules}, {policy.digest[:19]}")
            for note in NOTES:
                for line in note(policy):
                    click.echo(f"{file}: note: {line}")
    if broken:
        raise SystemExit(1)


def _shadow(policy: "Policy") -> Iterator[str]:
    if policy.mode == "shadow":
        yield "mode is shadow, so nothing is slowed"


def _asleep(policy: "Policy") -> Iterator[str]:
    from shaper.policy.schedule import in_force  # noqa: PLC0415

    now = in_force(policy.phases, datetime.now(UTC))
    if all(rule.phases and not set(rule.phases) & set(now) for rule in policy.rules):
        yield "no phase that its rules name is in force now; choose a date with --at"


def _unable(policy: "Policy") -> Iterator[str]:
    from shaper.proxy.police import order_of  # noqa: PLC0415
    from shaper.proxy.ruleset import unavailable  # noqa: PLC0415

    if any(map(order_of, policy.rules)) and (reason := unavailable()):
        yield f"manner police cannot run here: {reason}"


NOTES: list[Callable[["Policy"], Iterator[str]]] = [_shadow, _asleep, _unable]

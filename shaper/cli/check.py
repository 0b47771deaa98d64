"""`shaper check`: policies are valid, or it says on one line each what is wrong, where, and what to write instead."""

from pathlib import Path

import click


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
def check(files: tuple[Path, ...]) -> None:
    """Validate policy files; exit 1 if any is not valid."""
    from shaper.policy.load import PolicyError, load  # noqa: PLC0415 - keeps `shaper --help` quick

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
    if broken:
        raise SystemExit(1)

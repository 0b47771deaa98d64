"""`shaper pack`: a finished run's JSON Lines become Parquet."""

from pathlib import Path

import click

from shaper.cli.analysis import analysing


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
def pack(runs: tuple[Path, ...]) -> None:
    """Turn a finished run's JSON Lines into Parquet. Loses nothing: the lines go once they are counted there."""
    with analysing("shaper pack"):
        from shaper.report.parquet import pack as pack_runs  # noqa: PLC0415 - keeps `shaper --help` quick

        for packed in pack_runs(runs):
            click.echo(str(packed))

"""`shaper export`: a run in other people's formats."""

from pathlib import Path

import click

from shaper.cli.analysis import analysing
from shaper.measure.run import Run


@click.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--ooni", is_flag=True, required=True, help="As OONI measurements, labelled with the truth.")
@click.option("-o", "--output", required=True, metavar="FILE", type=click.Path(path_type=Path, allow_dash=True))
def export(run: Path, ooni: bool, output: Path) -> None:  # noqa: ARG001 - the only format so far
    """Write a run's samples as JSON Lines, one measurement a line."""
    with analysing("shaper export"):
        from shaper.report.ooni import measurements  # noqa: PLC0415 - keeps `shaper --help` quick

        lines = measurements(Run.open(run))
        with click.open_file(str(output), "w", encoding="utf-8", atomic=str(output) != "-") as file:
            count = sum(1 for line in lines if file.write(line))
        click.echo(f"{output}: {count} measurements", err=str(output) == "-")

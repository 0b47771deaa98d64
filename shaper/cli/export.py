"""`shaper export`: a run in other people's formats."""

from pathlib import Path

import click

from shaper.cli.analysis import analysing
from shaper.measure.run import Run


@click.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--ooni", is_flag=True, required=True, help="As OONI measurements, labelled with the truth.")
@click.option("-o", "--output", required=True, metavar="FILE", type=click.Path(path_type=Path))
def export(run: Path, ooni: bool, output: Path) -> None:  # noqa: ARG001 - the only format so far
    """Write a run's samples as JSON Lines, one measurement a line."""
    with analysing("shaper export"):
        from shaper.report.ooni import measurements  # noqa: PLC0415 - keeps `shaper --help` quick

        partial = output.with_name(f"{output.name}.partial")
        try:
            with partial.open("w", encoding="utf-8") as file:
                count = sum(1 for line in measurements(Run.open(run)) if file.write(line))
            partial.replace(output)
        finally:
            partial.unlink(missing_ok=True)
        click.echo(f"{output}: {count} measurements")

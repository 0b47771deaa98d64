"""`shaper export`: a run in other people's formats."""

from pathlib import Path

import click

from shaper.cli.analysis import UnusableError, analysing
from shaper.measure.run import Run


@click.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--ooni", "form", flag_value="ooni", help="Transfers as OONI measurements, labelled with the truth.")
@click.option("--har", "form", flag_value="har", help="Pages and transfers as an HTTP Archive, with Server-Timing.")
@click.option("-o", "--output", required=True, metavar="FILE", type=click.Path(path_type=Path))
def export(run: Path, form: str | None, output: Path) -> None:
    """Write a run's samples as OONI measurements or an HTTP Archive."""
    if form is None:
        raise UnusableError("shaper export: --ooni, --har: one of them is needed; name the format to write")
    with analysing("shaper export"):
        from shaper.report.har import archive  # noqa: PLC0415 - keeps `shaper --help` quick
        from shaper.report.ooni import measurements  # noqa: PLC0415

        partial, opened = output.with_name(f"{output.name}.partial"), Run.open(run)
        try:
            with partial.open("w", encoding="utf-8") as file:
                if form == "har":
                    file.writelines(archive(opened))
                    said = "one HTTP Archive"
                else:
                    said = f"{sum(1 for line in measurements(opened) if file.write(line))} measurements"
            partial.replace(output)
        finally:
            partial.unlink(missing_ok=True)
        click.echo(f"{output}: {said}")

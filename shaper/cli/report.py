"""`shaper report`: what runs show, as one page with its pictures, tables and data."""

from pathlib import Path

import click

from shaper.cli.analysis import analysing


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option("-o", "--output", metavar="DIR", type=click.Path(path_type=Path), help="Where to; by default RUN/report.")
@click.option("--against", metavar="ARM", help="Compare with this arm instead of the reference that the run names.")
def report(runs: tuple[Path, ...], output: Path | None, against: str | None) -> None:
    """Write what runs show. DIR/report.html is for people; figures, tables and report.json are for notebooks."""
    with analysing("shaper report"):
        from shaper.report.report import report as write  # noqa: PLC0415 - keeps `shaper --help` quick

        out = output or runs[0] / "report"
        found = write(runs, out, against)
        for claim in found.claims:
            click.echo(f"{claim.support}: {claim.text}" + (f" ({claim.figures})" if claim.figures else ""))
        click.echo(f"{out / 'report.html'}")

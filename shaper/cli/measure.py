"""`shaper measure`: an experiment, from its plan to samples on disk."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from shaper.measure.order import Step
    from shaper.measure.run import Sample


@click.command()
@click.argument("plan", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The run's directory; runs/NAME if not given.")
@click.option("--certificate", type=click.Path(path_type=Path), help="The calibration certificate to measure under.")
@click.option("--require-calibration", is_flag=True, help="Refuse to start without a valid certificate.")
def measure(plan: Path, output: Path | None, certificate: Path | None, require_calibration: bool) -> None:
    """Take the samples of PLAN. A run that was interrupted goes on where it was."""
    from rich.console import Console  # noqa: PLC0415 - keeps `shaper --help` quick
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    from shaper.cli.measuring import Measurement  # noqa: PLC0415
    from shaper.measure.run import RunError  # noqa: PLC0415
    from shaper.policy.load import PolicyError  # noqa: PLC0415
    from shaper.policy.refused import RefusedError  # noqa: PLC0415

    columns = (TextColumn("{task.description:<40}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("starting")

            def show(step: "Step", sample: "Sample | None", number: int, total: int) -> None:
                said = "had" if sample is None else f"{sample.outcome} {sample.duration:.2f} s"
                description = f"{step.object}, {step.probe}, {step.arm}: {said}"
                bar.update(task, completed=number, total=total, description=description)

            measurement = Measurement(plan, output, certificate, require_calibration, show)
            complete = asyncio.run(measurement.run())
    except (PolicyError, RefusedError, RunError) as error:
        raise click.ClickException(str(error)) from None
    except ModuleNotFoundError as error:
        if error.name != "playwright":
            raise
        raise click.ClickException("a probe is chromium: pip install 'shaper[browser]' brings what drives it") from None
    click.echo(f"{measurement.directory}: {'complete' if complete else 'interrupted; the same command goes on'}")
    raise SystemExit(0 if complete else 1)

"""`shaper calibrate`: the proxy's own error, found out before anybody relies on it."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from shaper.measure.calibration import Figure


@click.command()
@click.option(
    "--policy", "policies", multiple=True, type=click.Path(path_type=Path),
    help="Calibrate the caps of this policy; may be given again.",
)  # fmt: skip
@click.option("--rate", "rates", multiple=True, help="Calibrate this rate, such as '150 kbit/s'; may be given again.")
@click.option(
    "--repeats", type=click.IntRange(2, 50), default=3, show_default=True, help="Bodies per cap and protocol."
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default="certificate.json", show_default=True,
    help="Where the certificate is written; a page with plots goes beside it.",
)  # fmt: skip
def calibrate(policies: tuple[Path, ...], rates: tuple[str, ...], repeats: int, output: Path) -> None:
    """
    Measure how well the proxy keeps its rates.

    Exit 1 when it is out of tolerance.

    Without --policy or --rate: seven rates from 0.1 to 50 Mbit/s, in one to two minutes.
    """
    from shaper.cli.calibrating import Calibration  # noqa: PLC0415 - keeps `shaper --help` quick
    from shaper.policy.load import PolicyError, load  # noqa: PLC0415
    from shaper.policy.refused import RefusedError  # noqa: PLC0415
    from shaper.policy.units import parse_rate  # noqa: PLC0415

    try:
        calibration = Calibration(
            policies=[load(policy) for policy in policies],
            rates=[parse_rate(rate) for rate in rates],
            repeats=repeats,
            progress=lambda figure: click.echo(_said(figure)),
        )
        click.echo("cap, protocol, achieved/configured with its 95 % interval, and the rest:")
        certificate, drawn = asyncio.run(calibration.run())
        certificate.write(output)
    except (PolicyError, RefusedError) as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{output}: {error.strerror}; name a file that can be written") from None
    click.echo(f"loop lag, 99th percentile: at most {certificate.lag * 1000:g} ms")
    click.echo(f"{'PASSED' if certificate.passed else 'FAILED'}: {output}, {certificate.digest[:19]}, "
               f"valid until {certificate.valid_until:%Y-%m-%d}")  # fmt: skip
    try:
        from shaper.report.certificate_page import write_page  # noqa: PLC0415 - needs the analysis extra

        click.echo(f"plots: {write_page(certificate, drawn, output.with_suffix('.html'))}")
    except ModuleNotFoundError:
        click.echo("no plots: pip install 'shaper[analysis]' brings what draws them")
    raise SystemExit(0 if certificate.passed else 1)


def _said(figure: "Figure") -> str:
    """Return the line about one cap."""
    from shaper.policy.units import format_rate, format_size  # noqa: PLC0415

    parts = [
        f"{format_rate(figure.rate):>13} {figure.manner} {figure.protocol}",
        f"{figure.ratio:.4f} [{figure.low:.4f}, {figure.high:.4f}]",
        f"burst {format_size(figure.burst):>9}",
        f"behind {format_size(figure.distance):>9}",
        f"gap {figure.gap * 1000:6.1f} ms",
        f"beside it {figure.latency * 1000:5.1f} ms",
        "ok" if figure.ok else f"OUT OF TOLERANCE: {'; '.join(figure.misses)}",
    ]
    return "  ".join(parts)

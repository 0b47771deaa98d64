"""`shaper demo`: photos and video from a targeted host crawl, nothing else does, and the figures show it."""

import asyncio
from pathlib import Path

import click

from shaper.cli.address import Address
from shaper.cli.shipped import shipped

STUDY = "twitter-2021-announced"


@click.command()
@click.option("--policy", type=click.Path(path_type=Path), help=f"Another policy than {STUDY}.")
@click.option("--json", "figures", type=click.Path(path_type=Path), help="Also write all figures to this file.")
@click.option("--tolerance", default="5 %", show_default=True, help="How far a rate may be off its cap.")
@click.option("--serve", is_flag=True, help="Leave origin and proxy up for a browser, and say how to use them.")
@click.option(
    "--listen", type=Address(), default="127.0.0.1:0", help="Where the proxy listens; by default a free port."
)
def demo(policy: Path | None, figures: Path | None, tolerance: str, serve: bool, listen: tuple[str, int]) -> None:
    """
    Show on this machine what a policy does, and check it.

    Exit 1 when a figure is out of tolerance. Needs no network.
    """
    from shaper.cli.demonstration import demonstrate  # noqa: PLC0415 - keeps `shaper --help` quick
    from shaper.measure.wire import DialError  # noqa: PLC0415
    from shaper.policy.load import PolicyError, load  # noqa: PLC0415
    from shaper.policy.refused import RefusedError  # noqa: PLC0415
    from shaper.policy.units import parse_share  # noqa: PLC0415

    try:
        share = parse_share(tolerance)
    except RefusedError as error:
        raise click.ClickException(f"--tolerance: {error}") from None
    try:
        studied = load(policy or shipped(STUDY))
        within = asyncio.run(demonstrate(studied, share, figures, serve=serve, listen=listen))
    except (PolicyError, RefusedError) as error:
        raise click.ClickException(str(error)) from None
    except (DialError, OSError) as error:
        problem = f"a connection of the demo's own failed: {error}"
        raise click.ClickException(f"{problem}; see whether this machine is short of sockets or memory") from None
    except asyncio.CancelledError:
        raise SystemExit(143) from None  # SIGTERM
    raise SystemExit(0 if within else 1)

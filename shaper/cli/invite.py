"""`shaper invite`: new volunteers, and a link for each that is shown once."""

from pathlib import Path

import click


@click.command()
@click.option("--volunteers", type=click.Path(path_type=Path), required=True, help="The study's database.")
@click.option("--study", required=True, help="The study, as the policy names it.")
@click.option("--count", type=click.IntRange(1, 1000), default=1, show_default=True, help="How many to invite.")
@click.option("--access", type=click.Choice(["mobile", "fixed"]), help="The kind of line that they are on.")
@click.option("--arm", help="Put them into this arm; by default the study draws one.")
@click.option(
    "--site",
    default="http://127.0.0.1:8081",
    show_default=True,
    help="Where they reach the study's site; not shaper.lab, which needs the proxy.",
)
def invite(*, volunteers: Path, study: str, count: int, access: str | None, arm: str | None, site: str) -> None:
    """Make invitation links. Each is for one person, is shown once and is stored only as a hash."""
    from shaper.onboarding.roster import open_roster  # noqa: PLC0415 - keeps `shaper --help` quick
    from shaper.policy.refused import RefusedError  # noqa: PLC0415

    try:
        roster = open_roster(volunteers, study)
    except RefusedError as error:
        raise click.ClickException(str(error)) from None
    try:
        for _ in range(count):
            _, credential = roster.enrol(access, arm)
            click.echo(f"{site.rstrip('/')}/join/{credential.token}")
    finally:
        roster.close()

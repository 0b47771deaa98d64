"""`shaper explain`: which rule decides, why the ones before it do not, and what follows."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click


@click.command()
@click.option("--policy", required=True, type=click.Path(path_type=Path), help="The policy file.")
@click.option("--host", required=True, help="The host that the message is for.")
@click.option("--type", "types", multiple=True, help="A Content-Type; may be given again.")
@click.option("--path", default="/", help="The path of the URL.")
@click.option("--dest", default="", help="The request's Sec-Fetch-Dest.")
@click.option("--method", default="GET", help="The request's method.")
@click.option("--status", default=200, help="The response's status.")
@click.option("--up", is_flag=True, help="Judge the request's body rather than the response's.")
@click.option("--access", type=click.Choice(["mobile", "fixed"]), help="The client's kind of line.")
@click.option("--arm", help="The client's arm, instead of the one it is assigned.")
@click.option("--client", help="The client's pseudonym; without it, the client is anonymous.")
@click.option(
    "--key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The study's key, DATABASE-keys/pseudonyms-STUDY.key, to draw arms as a run does.",
)
@click.option("--at", help="The study time, such as 2021-03-12T09:00Z; now if not given.")
@click.option("--connection", is_flag=True, help="Judge the connection only, before anything is read from it.")
def explain(policy: Path, host: str, client: str | None, at: str | None, key: Path | None, **options: Any) -> None:
    """Say which rule decides for a host and a message, and why."""
    from shaper.onboarding.pseudonym import Pseudonyms  # noqa: PLC0415 - imported here for a quick `shaper --help`
    from shaper.policy.explanation import explanation  # noqa: PLC0415
    from shaper.policy.judge import Judge  # noqa: PLC0415
    from shaper.policy.load import PolicyError, load  # noqa: PLC0415
    from shaper.policy.refused import RefusedError  # noqa: PLC0415
    from shaper.policy.units import parse_moment  # noqa: PLC0415
    from shaper.policy.verdict import Facts, Person  # noqa: PLC0415
    from shaper.record import private  # noqa: PLC0415

    try:
        judge = Judge(load(policy), Pseudonyms(private.kept(key)).assignment_key if key else b"")
    except (PolicyError, RefusedError) as error:
        raise click.ClickException(str(error)) from None
    try:
        now = parse_moment(at) if at else datetime.now(UTC)
    except RefusedError as error:
        raise click.ClickException(f"--at: {error}") from None
    if "/" in host:
        raise click.ClickException(
            f'--host: "{host}" is more than a host; write the host alone, and the path as --path'
        )
    arms = judge.policy.arms
    if options["arm"] and options["arm"] not in arms:
        remedy = f"name one of {', '.join(arms)}" if arms else "leave it out"
        raise click.ClickException(f'--arm: the policy has no arm "{options["arm"]}"; {remedy}')
    facts = Facts(
        host=host,
        method=options["method"].upper(),
        status=options["status"],
        path=options["path"],
        content_type=tuple(value.lower() for value in options["types"]),
        fetch_dest=options["dest"].lower(),
        up=options["up"],
    )
    person = Person(client, options["access"], options["arm"])
    for label, line in explanation(judge, facts, person, now, options["connection"]):
        click.echo(f"{label:<11} {line}")

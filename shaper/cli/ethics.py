"""`shaper ethics`: the ethics worksheet of a running study, or of one that is planned."""

from pathlib import Path

import click

from shaper.cli.remote import TOKEN, URL, Remote


@click.command()
@click.option("--policy", "plan", type=click.Path(path_type=Path), help="Fill it from this policy; nothing need run.")
@click.option("--control", "url", default=URL, show_default=True, envvar="SHAPER_CONTROL", help="The control API.")
@click.option(
    "--token", type=click.Path(path_type=Path), default=TOKEN, show_default="~/.shaper/control.token",
    envvar="SHAPER_TOKEN", help="The file that holds its token.",
)  # fmt: skip
def ethics(plan: Path | None, url: str, token: Path) -> None:
    """Print an ethics worksheet after the Menlo Report. It is Markdown, filled in from the running proxy."""
    from pydantic import TypeAdapter  # noqa: PLC0415 - keeps `shaper --help` quick

    from shaper.onboarding.budget import Terms  # noqa: PLC0415
    from shaper.onboarding.worksheet import Configuration, worksheet  # noqa: PLC0415
    from shaper.policy.load import PolicyError, load  # noqa: PLC0415
    from shaper.policy.model import Policy  # noqa: PLC0415

    if plan:
        try:
            click.echo(worksheet(load(plan), None, Terms()))
        except PolicyError as error:
            raise click.ClickException(str(error)) from None
        return
    remote = Remote(url, token)
    policy = Policy.model_validate(remote.get("/v1/policy")["policy"])
    answer = remote.get("/v1/configuration")
    configuration = TypeAdapter(Configuration).validate_python(answer["configuration"], strict=False)
    click.echo(worksheet(policy, configuration, TypeAdapter(Terms).validate_python(answer["terms"])))

"""`shaper ctl`: see and change a running proxy from the terminal, through its control API."""

import json
from pathlib import Path
from typing import Any

import click

from shaper.cli.remote import TOKEN, URL, Remote


@click.group()
@click.option("--control", "url", default=URL, show_default=True, envvar="SHAPER_CONTROL", help="The control API.")
@click.option(
    "--token", type=click.Path(path_type=Path), default=TOKEN, show_default="~/.shaper/control.token",
    envvar="SHAPER_TOKEN", help="The file that holds its token.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the API's answer as it is.")
@click.pass_context
def ctl(context: click.Context, url: str, token: Path, *, as_json: bool) -> None:
    """See and change a running proxy."""
    context.obj = Remote(url, token), as_json


@ctl.command()
@click.pass_obj
def status(obj: tuple[Remote, bool]) -> None:
    """Show the proxy and the study at a glance."""
    answer = _answer(obj, obj[0].get("/v1/status"))
    proxy = answer["proxy"]
    held = f" (held in {proxy['held_phase']})" if proxy["held_phase"] else ""
    _lines(
        proxy=f"{proxy['listen']}, shaper {proxy['version']}, since {proxy['started']}",
        study=f"{proxy['study']}, {proxy['policy'][:19]}, {'paused' if proxy['paused'] else proxy['mode']}",
        phases=f"{', '.join(proxy['phases']) or 'none'}{held}",
        transfers=f"{proxy['transfers']} under way, {proxy['backlog']:,} bytes held back",
        people=_counts(answer["volunteers"]),
        refused=_counts(answer["refused"]),
    )


@ctl.command()
@click.pass_obj
def policy(obj: tuple[Remote, bool]) -> None:
    """Print the policy in force, as JSON."""
    click.echo(json.dumps(obj[0].get("/v1/policy")["policy"], indent=2, ensure_ascii=False))


@ctl.command("dry-run")
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def dry_run(obj: tuple[Remote, bool], file: Path) -> None:
    """Tell what a policy would have changed of the latest decisions. Changes nothing."""
    answer = _answer(obj, obj[0].send_policy("POST", "/v1/policy/dry-run", file))
    click.echo(f"{answer['changed']} of the latest {answer['decisions']} decisions about targets would differ.")
    for change in answer["changes"]:
        click.echo(f"{change['count']:>6}  {_decision(change['before'])} -> {_decision(change['after'])}")


@ctl.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def apply(obj: tuple[Remote, bool], file: Path) -> None:
    """Put a policy in force. Transfers under way keep their verdict."""
    _replaced(_answer(obj, obj[0].send_policy("PUT", "/v1/policy", file)))


@ctl.command()
@click.pass_obj
def reload(obj: tuple[Remote, bool]) -> None:
    """Have the proxy read its policy file again."""
    _replaced(_answer(obj, obj[0].post("/v1/policy/reload")))


@ctl.command()
@click.argument("name", required=False)
@click.pass_obj
def phase(obj: tuple[Remote, bool], name: str | None) -> None:
    """Hold study time in the phase NAME; without NAME it goes on."""
    answer = _answer(obj, obj[0].put("/v1/phase", {"phase": name}))
    click.echo(f"Held in {answer['phase']}." if answer["phase"] else "Study time goes on.")


@ctl.command()
@click.pass_obj
def pause(obj: tuple[Remote, bool]) -> None:
    """Let everything pass unshaped and undecrypted."""
    _answer(obj, obj[0].put("/v1/pause", {"paused": True}))
    click.echo("Paused: everything passes unshaped. `shaper ctl resume` goes on.")


@ctl.command()
@click.pass_obj
def resume(obj: tuple[Remote, bool]) -> None:
    """Shape again after a pause."""
    _answer(obj, obj[0].put("/v1/pause", {"paused": False}))
    click.echo("Resumed.")


@ctl.command()
@click.pass_obj
def volunteers(obj: tuple[Remote, bool]) -> None:
    """List everybody in the study, by pseudonym."""
    for one in _answer(obj, obj[0].get("/v1/volunteers"))["volunteers"]:
        facts = (one["state"], one["arm"] or "-", one["access"] or "-", f"{one['used_today']:,} bytes today")
        click.echo(f"{one['pseudonym']}  {'  '.join(facts)}")


@ctl.command()
@click.pass_obj
def export(obj: tuple[Remote, bool]) -> None:
    """Count volunteers by state, arm and access. Small cells are left out."""
    answer = _answer(obj, obj[0].get("/v1/export"))
    for cell in answer["cells"]:
        click.echo(f"{cell['volunteers']:>6}  {cell['state']}  {cell['arm'] or '-'}  {cell['access'] or '-'}")
    if answer["suppressed"]:
        click.echo(f"{answer['suppressed']} left out: cells with fewer than {answer['least']} people.")


@ctl.command()
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@click.pass_obj
def audit(obj: tuple[Remote, bool], limit: int) -> None:
    """Show the newest lines of the audit log, newest first."""
    for one in _answer(obj, obj[0].get(f"/v1/audit?limit={limit}"))["entries"]:
        detail = " ".join(f"{key}={value}" for key, value in one["detail"].items())
        click.echo(f"{one['time']}  {one['who']}  {one['action']}  {one['outcome']}  {detail}".rstrip())


@ctl.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.pass_obj
def verify(obj: tuple[Remote, bool], file: Path | None) -> None:
    """Tell whether the audit log is as it was written: the proxy's, or a FILE, for which no proxy need run."""
    if file is None:
        answer = _answer(obj, obj[0].get("/v1/audit/verify"))
        lines, last = answer["lines"], answer["last"]
    else:
        from shaper.onboarding.control import audit  # noqa: PLC0415 - keeps `shaper --help` quick
        from shaper.policy.refused import RefusedError  # noqa: PLC0415

        try:
            found = audit.verify(file)
        except RefusedError as error:
            raise click.ClickException(str(error)) from None
        lines, last = found.lines, found.last
    click.echo(f"{lines} lines, each follows from the one before. The last has SHA-256 {last}.")


@ctl.command()
def openapi() -> None:
    """Print the control API's OpenAPI document. No proxy need run."""
    from shaper.onboarding.control.operation import document  # noqa: PLC0415 - keeps `shaper --help` quick

    click.echo(json.dumps(document(), indent=2, ensure_ascii=False))


def _answer(obj: tuple[Remote, bool], answer: Any) -> Any:
    """Return the answer for people to read, or print it as it is and be done."""
    if obj[1]:
        click.echo(json.dumps(answer, ensure_ascii=False))
        raise click.exceptions.Exit
    return answer


def _replaced(answer: Any) -> None:
    if answer["digest"] == answer["replaced"]:
        click.echo(f"Unchanged: {answer['digest'][:19]} is in force already.")
    else:
        click.echo(f"In force: {answer['digest'][:19]}, in place of {answer['replaced'][:19]}.")


def _lines(**lines: str) -> None:
    for label, line in lines.items():
        click.echo(f"{label:<10}{line}")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"


def _decision(decision: dict[str, str]) -> str:
    return f"{decision['action']} {decision['reason']}" + (f" by {decision['rule']}" if decision["rule"] else "")

"""`shaper lint`: whom a policy would hit besides those it means, among a list of hosts, before anyone runs it."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

import click


class UnusableError(click.ClickException):
    """An input cannot be used. Its exit code is not that of collateral."""

    exit_code = 2


@click.command()
@click.option("--policy", "file", required=True, metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--hosts",
    "lists",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="One host a line, or rank,host. Repeatable.",
)
@click.option(
    "--har",
    "archives",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The hosts in an HTTP Archive that a browser saved. Repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def lint(file: Path, lists: tuple[Path, ...], archives: tuple[Path, ...], as_json: bool) -> None:
    """
    Name the hosts that a policy reaches and does not mean.

    Without --hosts and --har: among some 300 well-known hosts.

    Exit 1 if there is collateral, or if a pattern matches every domain below a public suffix; else 0.
    """
    from shaper.policy.lint import Kind, lint  # noqa: PLC0415 - keeps `shaper --help` quick
    from shaper.policy.load import PolicyError, load  # noqa: PLC0415

    try:
        policy = load(file)
    except PolicyError as error:
        raise UnusableError(str(error)) from None
    hosts = {*_listed(lists), *_archived(archives)} if lists or archives else set(_well_known())
    findings = list(lint(policy, sorted(hosts)))
    collateral = {finding.host for finding in findings if finding.kind is Kind.COLLATERAL}
    if as_json:
        document = {"policy": policy.digest, "study": policy.study, "hosts": len(hosts)}
        click.echo(json.dumps({**document, "findings": [asdict(finding) for finding in findings]}, indent=2))
    else:
        for finding in findings:
            click.echo(f"{file}: {finding}")
        among = f"{len(hosts)} {'hosts' if lists or archives else 'well-known hosts'}"
        click.echo(f"{file}: collateral: {len(collateral) or 'none'} of {among}")
    if any(finding.kind is not Kind.LOOSE for finding in findings):
        raise SystemExit(1)


def _listed(lists: Iterable[Path]) -> Iterator[str]:
    for path in lists:
        yield from _lines(_text(path))


def _archived(archives: Iterable[Path]) -> Iterator[str]:
    for path in archives:
        try:
            urls = [str(entry["request"]["url"]) for entry in json.loads(_text(path))["log"]["entries"]]
            yield from filter(None, (urlsplit(url).hostname for url in urls))
        except (KeyError, RecursionError, TypeError, ValueError):
            remedy = "save one from the network panel of a browser's developer tools"
            raise UnusableError(f"{path}: not an HTTP Archive; {remedy}") from None


def _well_known() -> Iterator[str]:
    return _lines(files("shaper.policy").joinpath("known_hosts.txt").read_text("utf-8"))


def _lines(text: str) -> Iterator[str]:
    """Yield the last field of each line, without comments."""
    for line in text.splitlines():
        if host := re.split(r"[,;\s]+", line.partition("#")[0].strip())[-1]:
            yield host


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise UnusableError(f"{path}: cannot be read: {error.strerror}; check the path") from None
    except ValueError:
        raise UnusableError(f"{path}: not UTF-8 text; save the file as UTF-8") from None

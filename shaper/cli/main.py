"""The `shaper` command."""

from pathlib import Path

import click

from shaper.cli.calibrate import calibrate
from shaper.cli.check import check
from shaper.cli.ctl import ctl
from shaper.cli.demo import demo
from shaper.cli.detect import detect
from shaper.cli.ethics import ethics
from shaper.cli.explain import explain
from shaper.cli.export import export
from shaper.cli.invite import invite
from shaper.cli.lint import lint
from shaper.cli.measure import measure
from shaper.cli.pack import pack
from shaper.cli.report import report
from shaper.cli.run import run
from shaper.cli.schema import schema
from shaper.cli.top import top


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="shaper")
def main() -> None:
    """Slow only images and video from targeted hosts, and measure exactly what was done."""


@main.command()
def addon() -> None:
    """Print the addon's path, for `mitmdump -s "$(shaper addon)" --set shaper_policy=FILE`."""
    click.echo(Path(__file__).parent.parent / "proxy" / "addon.py")


main.add_command(calibrate)
main.add_command(check)
main.add_command(ctl)
main.add_command(demo)
main.add_command(detect)
main.add_command(ethics)
main.add_command(explain)
main.add_command(export)
main.add_command(invite)
main.add_command(lint)
main.add_command(measure)
main.add_command(pack)
main.add_command(report)
main.add_command(run)
main.add_command(schema)
main.add_command(top)

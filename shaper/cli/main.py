"""The `shaper` command."""

from itertools import chain
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


class Sections(click.Group):
    """A group whose help lists its commands by what they are about, one line each."""

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self.commands))
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                room = formatter.width - formatter.current_indent - width - 2
                formatter.write_dl([(f"{c.name:{width}}", c.get_short_help_str(room)) for c in commands])


@click.group(cls=Sections, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="shaper")
def main() -> None:
    """Slow only images and video from targeted hosts, and measure exactly what was done."""


@click.command()
def addon() -> None:
    """
    Print where the addon for the mitmproxy tools is.

    Use it as `mitmdump -s "$(shaper addon)" --set shaper_policy=FILE`.
    """
    click.echo(Path(__file__).parent.parent / "proxy" / "addon.py")


SECTIONS = {
    "Policies": (check, explain, lint, schema),
    "Proxy": (demo, run, ctl, top, addon),
    "Experiments": (calibrate, measure, report, detect, export, pack),
    "Volunteers": (invite, ethics),
}
for command in chain.from_iterable(SECTIONS.values()):
    main.add_command(command)

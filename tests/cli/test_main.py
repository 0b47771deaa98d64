"""`shaper --help` is a map: every command once, under what it is about, on one line of a narrow terminal."""

import re

from click.testing import CliRunner

from shaper.cli.main import SECTIONS, main


def test_the_help_has_every_command_once_and_on_one_line():
    told = CliRunner().invoke(main, ["--help"], terminal_width=80).output
    assert re.findall(r"^(\w+):$", told, re.MULTILINE)[1:] == list(SECTIONS)
    assert sorted(re.findall(r"^  ([a-z]+)  +[A-Z].*\.$", told, re.MULTILINE)) == sorted(main.commands)
    assert "..." not in told.partition("Options:")[2]

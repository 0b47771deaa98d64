"""The documents about people's safety name what there is, and nothing that there is not."""

import re
from pathlib import Path

import click
import pytest

from shaper.cli.ctl import ctl
from shaper.cli.ethics import ethics
from shaper.cli.invite import invite
from shaper.cli.top import top
from shaper.onboarding.control.operation import OPERATIONS

ROOT = Path(__file__).parents[3]
CONTROL = (ROOT / "docs/control.md").read_text()
COMMANDS = {"ctl": ctl, "ethics": ethics, "invite": invite, "top": top}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.name)
def test_every_operation_is_in_the_document(operation):
    assert re.search(rf"^\| `{operation.method} {re.escape(operation.path)}\b", CONTROL, re.MULTILINE)


def test_the_document_names_no_operation_that_is_not_served():
    named = set(re.findall(r"^\| `(GET|PUT|POST) ([^`?]+)", CONTROL, re.MULTILINE))
    assert named == {(one.method, one.path) for one in OPERATIONS}


@pytest.mark.parametrize("name", sorted(ctl.commands))
def test_every_command_is_in_the_document(name):
    assert f"`shaper ctl {name}" in CONTROL


@pytest.mark.parametrize("path", ["docs/control.md", "docs/ethics.md", "docs/threat-model.md", "SECURITY.md"])
def test_every_command_that_a_document_names_is_one(path):
    for line in re.findall(r"shaper ((?:ctl|ethics|invite|top)\b[^`|\n]*)", (ROOT / path).read_text()):
        name, *words = line.partition("#")[0].partition(">")[0].split()
        command = COMMANDS[name]
        for word in words:
            if word.startswith("--"):
                assert word in {option for one in command.params for option in one.opts}, line
            elif isinstance(command, click.Group) and not word.isupper():
                command = command.commands[word]


@pytest.mark.parametrize("path", ["docs/ethics.md", "docs/threat-model.md", "SECURITY.md"])
def test_every_file_that_a_document_names_is_there(path):
    text = (ROOT / path).read_text()
    named = re.findall(r"`((?:tests|shaper)/[^`]+)`", text)
    linked = [str((ROOT / path).parent.relative_to(ROOT) / link) for link in re.findall(r"\]\(([^):]+)\)", text)]
    assert named + linked
    assert not [name for name in named + linked if not (ROOT / name).exists()]

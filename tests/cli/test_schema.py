"""`shaper schema`: what an editor's validator accepts and refuses with it, by the real check-jsonschema."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from shaper.cli.main import main

POLICIES = Path(__file__).parents[2] / "policies"
CHECK = Path(sys.executable).with_name("check-jsonschema")


@pytest.fixture(scope="module")
def schema(tmp_path_factory):
    file = tmp_path_factory.mktemp("schema") / "policy.json"
    file.write_text(CliRunner().invoke(main, ["schema"]).output)
    return file


def validate(*arguments):
    return subprocess.run([CHECK, *map(str, arguments)], capture_output=True, text=True, check=False)


def test_it_is_a_json_schema(schema):
    assert validate("--check-metaschema", schema).returncode == 0


def test_it_accepts_every_shipped_policy(schema):
    done = validate("--schemafile", schema, *POLICIES.glob("*.yaml"))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("150 kbit/s", "150"),
        ("150 kbit/s", "2 Mbps/s"),
        ("2 KiB", "2048"),
        ("media:", "medium:"),
        ("[image, video]", "[film]"),
        ("version: 1", "version: 2"),
        ("scope: response", "scope: everybody"),
        ("name: photos-and-video", "name: a b"),
    ],
)
def test_it_refuses_what_shaper_refuses(schema, tmp_path, old, new):
    text = (POLICIES / "twitter-2021-announced.yaml").read_text()
    assert old in text
    bad = tmp_path / "bad.yaml"
    bad.write_text(text.replace(old, new))
    assert validate("--schemafile", schema, bad).returncode == 1


def test_defaults_are_written_as_a_file_would_say_them(schema):
    cap = json.loads(schema.read_text())["$defs"]["Cap"]["properties"]
    defaults = {key: value["default"] for key, value in cap.items() if "default" in value}
    assert defaults == {"scope": "response", "burst": "2 KiB", "manner": "smooth", "window": "1 s"}

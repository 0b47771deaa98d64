"""`shaper lint` as it is called."""

import json
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner

from shaper.cli.main import main

POLICY = """
version: 1
study: x
targets: {t: {hosts: [HOSTS]}}
rules: [{name: P0, target: t, media: [image, video]}]
"""
SUBSTRING = '{contains: "t.co"}'
EXACT = '"t.co", "*.twimg.com"'


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


@pytest.fixture
def lint(write):
    def lint(hosts, *arguments):
        return CliRunner().invoke(
            main, ["lint", "--policy", write("p.yaml", POLICY.replace("HOSTS", hosts)), *arguments]
        )

    return lint


def archive(*urls):
    return json.dumps({"log": {"entries": [{"request": {"url": url}} for url in urls]}})


def test_the_policy_alone_is_held_against_well_known_hosts(lint):
    result = lint(SUBSTRING)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    for host in ("microsoft.com", "reddit.com"):
        assert any(f'rule "P0": {SUBSTRING} reaches {host}; write "t.co" and "*.t.co"' in line for line in lines)
    assert all(re.match(r"/\S+/p\.yaml: rule \"P0\": ", line) for line in lines[:-1])
    total = re.fullmatch(r"/\S+/p\.yaml: collateral: (\d+) of (\d+) well-known hosts", lines[-1])
    assert int(total[1]) == len([line for line in lines if " reaches " in line])
    assert int(total[2]) >= 300


def test_a_policy_that_reaches_only_what_it_names_is_clean(lint):
    result = lint(EXACT)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1].split(": ", 1)[1].startswith("collateral: none of 3")


def test_a_list_of_hosts_is_used_instead(lint, write):
    hosts = write("hosts", "# mine\nexample.org\n1,reddit.com\n0.0.0.0 rt.com # blocked\n\n")
    result = lint(SUBSTRING, "--hosts", hosts)
    assert [line.split(" reaches ")[1].split(";")[0] for line in result.stdout.splitlines() if " reaches " in line] == [
        "reddit.com",
        "rt.com",
    ]
    assert result.stdout.endswith("collateral: 2 of 3 hosts\n")


def test_an_archive_of_a_browser_and_lists_add_up(lint, write):
    har = write(
        "a.har", archive("https://www.reddit.com:8443/r/x?q=t.co", "data:image/png;base64,AAAA", "https://t.co/x")
    )
    hosts = write("hosts", "rt.com")
    result = lint(SUBSTRING, "--har", har, "--hosts", hosts)
    assert "reaches www.reddit.com;" in result.stdout
    assert result.stdout.endswith("collateral: 2 of 3 hosts\n")


def test_an_archive_alone_is_used_instead(lint, write):
    result = lint(SUBSTRING, "--har", write("a.har", archive("https://example.org/")))
    assert result.stdout.endswith("collateral: none of 1 hosts\n")


def test_a_loose_pattern_without_collateral_is_warned_about_and_passes(lint, write):
    result = lint(SUBSTRING, "--hosts", write("hosts", "t.co\nexample.org"))
    assert "matches anywhere in a name" in result.stdout
    assert result.exit_code == 0


def test_a_pattern_wider_than_a_domain_fails_even_if_no_listed_host_is_hit(lint, write):
    result = lint('"*.co.uk"', "--hosts", write("hosts", "example.org"))
    assert result.exit_code == 1
    assert result.stdout.endswith("collateral: none of 1 hosts\n")


def test_findings_are_written_as_json(lint, write):
    result = lint(SUBSTRING, "--json", "--hosts", write("hosts", "rt.com\nexample.org"))
    document = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (document["study"], document["hosts"]) == ("x", 2)
    assert document["policy"].startswith("sha256:")
    assert document["findings"][-1] == {
        "kind": "collateral",
        "target": "t",
        "rules": ["P0"],
        "pattern": SUBSTRING,
        "remedy": 'write "t.co" and "*.t.co"',
        "host": "rt.com",
    }


@pytest.mark.parametrize(
    ("option", "content", "problem"),
    [
        ("--har", "not JSON", "not an HTTP Archive; save one from"),
        ("--har", "[]", "not an HTTP Archive; save one from"),
        ("--har", '{"log": {"entries": [{}]}}', "not an HTTP Archive; save one from"),
        ("--har", '{"log": {"entries": 3}}', "not an HTTP Archive; save one from"),
        ("--har", archive("https://[oops/"), "not an HTTP Archive; save one from"),
        ("--har", "[" * 100_000, "not an HTTP Archive; save one from"),
        ("--har", b"\xff\xfe", "not UTF-8 text; save the file as UTF-8"),
        ("--hosts", b"\xff\xfe", "not UTF-8 text; save the file as UTF-8"),
    ],
)
def test_an_input_that_cannot_be_used_is_one_line_and_exit_2(lint, write, option, content, problem):
    path = write("input", content)
    result = lint(EXACT, option, path)
    assert result.exit_code == 2
    assert f"{path}: {problem}" in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_a_missing_file_is_one_line_and_exit_2(lint, tmp_path):
    result = lint(EXACT, "--hosts", str(tmp_path / "absent"))
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "absent: cannot be read: No such file or directory; check the path" in result.stderr


def test_a_broken_policy_is_one_line_and_exit_2(lint):
    result = lint("3..")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "p.yaml:4: " in result.stderr


def test_the_command_runs_as_installed(write):
    policy = write("p.yaml", POLICY.replace("HOSTS", EXACT))
    command = [sys.executable, "-c", "from shaper.cli.main import main; main()", "lint", "--policy", policy]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert "collateral: none" in done.stdout

"""What `shaper run` refuses, and how it says so: one line with place, subject and remedy, and no traceback."""

import socket
import subprocess
import sys

import pytest
from click.testing import CliRunner

from shaper.cli.main import main

POLICY = """
version: 1
study: refusals
targets: {photos: {hosts: ["*.media.test"]}}
arms: {slow: 1}
rules:
  - {name: slow, target: photos, media: [image], caps: [{rate: 150 kbit/s}]}
"""


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


@pytest.fixture
def taken():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def refusal(*arguments) -> str:
    """Run, expecting a refusal; return its last line, which is all there is but for click's hints on usage."""
    result = CliRunner().invoke(main, ["run", *map(str, arguments)])
    assert result.exit_code not in (0, None), result.output
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    *hints, line = result.output.strip().splitlines()
    assert all(hint.startswith(("Usage: ", "Try ")) or not hint for hint in hints), result.output
    return line


@pytest.fixture
def run(policy, tmp_path):
    def run(*arguments, **options):
        free = {"--listen": "127.0.0.1:0", "--metrics": "127.0.0.1:0", "--ca-dir": tmp_path / "ca", "--policy": policy}
        given = free | {f"--{name.replace('_', '-')}": value for name, value in options.items()}
        return refusal(*arguments, *(part for pair in given.items() if pair[1] is not None for part in pair))

    return run


def test_a_policy_or_a_limit_is_needed_and_not_both(run):
    assert "--policy, --limit: one of them is needed" in run(policy=None)
    assert "--policy, --limit: one of them is needed" in run("--limit", "image *.media.test 1 Mbit/s")


def test_a_policy_that_is_not_there_is_named(run, tmp_path):
    assert f"{tmp_path / 'none.yaml'}: cannot be read" in run(policy=tmp_path / "none.yaml")


def test_a_broken_policy_is_told_with_its_line(run, policy):
    policy.write_text(POLICY.replace("150 kbit/s", "2 Mbps/s"))
    line = run()
    assert f'{policy}:7: rule "slow": "2 Mbps/s" is not a rate' in line
    assert "write" in line


def test_a_limit_needs_its_three_parts(run):
    line = run("--limit", "image", policy=None)
    assert "--limit" in line
    assert '"image,video *.twimg.com 150 kbit/s"' in line


def test_an_unknown_arm_names_the_known_ones(run):
    assert '"fast"; name one of slow' in run(arm="fast")


def test_a_shadow_needs_a_study_of_its_own_and_drops_nothing(run, policy, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text(POLICY)
    assert f'--shadow: {other}: another policy here has the study "refusals"; rename one' in run(shadow=other)
    police = "level: connection, caps: [{scope: connection, rate: 150 kbit/s, manner: police}]"
    text = POLICY.replace("study: refusals", "study: other")
    other.write_text(text.replace("media: [image], caps: [{rate: 150 kbit/s}]", police))
    assert f"--shadow: {other}: what dropped packets cost is up to their sender" in run(shadow=other)


@pytest.mark.parametrize("option", ["at", "drain", "self_check"])
def test_a_quantity_that_is_none_is_refused_by_its_option(run, option):
    assert f'Error: --{option.replace("_", "-")}: "10" is not a ' in run(**{option: "10"})


def test_a_speed_needs_a_time(run):
    assert "--speed: there is no time that could move on" in run(speed=60)


@pytest.mark.parametrize("address", ["8080", "127.0.0.1:http", "127.0.0.1:99999", ":8080", "127.0.0.1:-1"])
def test_what_is_no_address_is_refused(run, address):
    assert f'"{address}" is not an address; write HOST:PORT' in run(listen=address)


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:8080", "proxy.example:8080"])
def test_an_open_proxy_is_refused(run, address):
    assert "without credentials" in run(listen=address)


def test_a_taken_port_is_named(run, taken):
    assert f"{taken}: the proxy cannot listen here" in run(listen=taken)
    assert f"{taken}: metrics cannot be served here" in run(metrics=taken)


def test_a_journal_that_cannot_be_written_is_refused(run, tmp_path):
    assert f"{tmp_path / 'no' / 'journal'}: the journal cannot be written" in run(journal=tmp_path / "no" / "journal")


@pytest.mark.parametrize("text", [None, "not a certificate"])
def test_an_origin_ca_that_is_none_is_refused(run, tmp_path, text):
    path = tmp_path / "origin-ca.pem"
    if text:
        path.write_text(text)
    assert f"--origin-ca: {path}" in run(origin_ca=path)


@pytest.mark.parametrize("route", ["a:1:b", "a:1:b:x", "a:1:b:2:3", "a:1:::1:2", "a::b:2", "a:1:b:99999"])
def test_what_is_no_route_is_refused(run, route):
    assert f'"{route}" is not a route; write HOST:PORT:ADDR:PORT' in run(connect_to=route)


@pytest.mark.parametrize("place", ["/dev/null", "/dev/null/ca"])
def test_a_ca_directory_that_cannot_be_had_is_refused(run, place):
    assert f"{place}: CA: " in run(ca_dir=place)


def test_a_ca_of_another_study_is_refused(run, policy):
    socket_taken = run(listen="192.0.2.1:1")  # refused after nothing was made
    assert "192.0.2.1" in socket_taken
    with socket.create_server(("127.0.0.1", 0)) as server:
        run(listen=f"127.0.0.1:{server.getsockname()[1]}")  # makes the CA, and fails to listen
    policy.write_text(POLICY.replace("study: refusals", "study: another"))
    assert 'made for the study "refusals", not "another"' in run()


def test_what_the_start_made_is_no_work_for_the_garbage_collector(policy, tmp_path):
    """A collection of it all would stop the pacing for as long as it takes."""
    told = "import atexit, gc; atexit.register(lambda: print('frozen', gc.get_freeze_count()))"
    command = [sys.executable, "-c", f"{told}; from shaper.cli.main import main; main()", "run", f"--policy={policy}"]
    command += ["--listen=127.0.0.1:0", "--metrics=127.0.0.1:0", f"--ca-dir={tmp_path / 'ca'}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while "metrics" not in process.stdout.readline():
            assert process.poll() is None
        process.terminate()
        out, _ = process.communicate(timeout=30)
    assert int(out.split()[-1]) > 50_000

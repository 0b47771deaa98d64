"""`shaper explain` with each of its options, on a policy with arms, phases, access and both directions."""

from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from shaper.cli.main import main
from shaper.onboarding.pseudonym import Pseudonyms
from shaper.policy.judge import Judge
from shaper.policy.load import loads
from shaper.policy.verdict import Person
from shaper.record import private

POLICY = """\
version: 1
study: lab
targets: {photos: {hosts: ["*.example.org"]}}
arms: {control: 1, treatment: 1}
phases: [{name: march, start: 2021-03-10T07:00Z, end: 2021-03-11T07:00Z}]
rules:
  - {name: up, target: photos, media: [image], direction: up, caps: [{rate: 1 kB/s}]}
  - {name: mobile, target: photos, media: [image], access: [mobile], caps: [{rate: 150 kbit/s}]}
  - {name: dated, target: photos, media: [video], phases: [march], caps: [{rate: 2 Mbit/s}]}
  - {name: armed, target: photos, media: [audio], arms: [treatment], block: refuse}
"""


@pytest.fixture
def explain(tmp_path):
    file = tmp_path / "lab.yaml"
    file.write_text(POLICY)

    def run(*options, host="a.example.org"):
        result = CliRunner().invoke(main, ["explain", "--policy", str(file), "--host", host, *options])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    return run


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--type", "image/png", "--access", "mobile"], "rule        mobile decides:"),
        (["--type", "image/png"], "verdict     access: passes: the rules are for other kinds of access"),
        (["--type", "IMAGE/PNG", "--up", "--method", "post"], "rule        up decides:"),
        (["--type", "video/mp4", "--at", "2021-03-10T12:00Z"], "            2 Mbit/s for each response, burst 2 KiB"),
        (["--type", "video/mp4"], "rule        dated is for phase march; in force: none"),
        (["--type", "audio/mpeg", "--arm", "treatment"], "            refused"),
        (
            ["--type", "audio/mpeg", "--arm", "control"],
            "rule        armed is for arm treatment; this client's is control",
        ),
        (["--type", "audio/mpeg"], "client      arm none; phases in force: none"),
        (["--path", "/cat.jpg", "--access", "mobile"], "message     image, by extension"),
        (["--dest", "Video"], "message     video, by sec-fetch-dest"),
        (["--type", "image/png", "--method", "HEAD"], "verdict     bodiless: passes: it has no body"),
        (["--type", "image/png", "--status", "304"], "verdict     bodiless: passes: it has no body"),
        (["--connection"], "verdict     each response gets its own"),
    ],
)
def test_an_option_changes_what_is_explained(explain, options, line):
    result = explain(*options)
    assert result.exit_code == 0
    assert any(written.startswith(line) for written in result.output.splitlines())


def test_a_client_has_the_arm_that_the_study_key_draws(explain, tmp_path):
    """The key is the one that a run with volunteers draws with."""
    policy, arms = loads(POLICY, "lab.yaml"), set()
    for number in range(8):
        private.make(file := tmp_path / f"{number}.key", bytes([number] * 32).hex().encode())
        judge = Judge(policy, Pseudonyms(bytes([number] * 32)).assignment_key)
        arm = judge.connection_case("", Person("somebody"), datetime.now(UTC)).arm
        assert f"client      arm {arm};" in explain("--client", "somebody", "--key", str(file)).output
        arms.add(arm)
    assert arms == {"control", "treatment"}


def test_another_host_is_untargeted(explain):
    assert "connection  tunnelled: never decrypted" in explain(host="other.example").output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--arm", "fast"], 'Error: --arm: the policy has no arm "fast"; name one of control, treatment\n'),
        (
            ["--host", "https://a.example.org/1"],
            'Error: --host: "https://a.example.org/1" is more than a host; write the ',
        ),
        (["--at", "yesterday"], 'Error: --at: "yesterday" is not a moment with a UTC offset; write for example '),
        (
            ["--policy", "missing.yaml"],
            "Error: missing.yaml: cannot be read: No such file or directory; check the path",
        ),
    ],
)
def test_a_bad_option_is_refused_in_one_line(explain, options, message):
    result = explain(*options)
    assert result.exit_code == 1
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1

"""The audit log only grows, and what was changed in it afterwards is noticed."""

import json
from datetime import UTC, datetime

import pytest

from shaper.onboarding.control.audit import AuditLog, verify
from shaper.policy.refused import RefusedError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "audit.jsonl"


def written(path, *actions):
    log = AuditLog(path, now=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    for action in actions:
        log.write("ann", action, "done", phase="P0")
    log.close()


def test_lines_say_who_did_what_when_with_what_outcome(path):
    written(path, "phase")
    assert json.loads(path.read_text()) == {
        "time": "2026-01-01T00:00:00.000Z", "who": "ann", "action": "phase", "outcome": "done",
        "detail": {"phase": "P0"}, "before": "0" * 64,
    }  # fmt: skip
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_log_goes_on_after_a_restart(path):
    written(path, "pause", "resume")
    written(path, "reload")
    assert verify(path).lines == 3
    log = AuditLog(path)
    assert [entry.action for entry in log.newest(2)] == ["reload", "resume"]
    log.close()


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: lines[1:],
        lambda lines: lines[:1] + lines[2:],
        lambda lines: lines[::-1],
        lambda lines: [lines[0].replace(b"ann", b"bob"), *lines[1:]],
        lambda lines: [b"x", *lines],
    ],
)
def test_a_line_that_was_taken_out_moved_or_changed_is_noticed(path, damage):
    written(path, "pause", "resume", "reload")
    path.write_bytes(b"".join(line + b"\n" for line in damage(path.read_bytes().splitlines())))
    with pytest.raises(RefusedError, match="does not follow from the line before"):
        verify(path)


def test_a_line_that_a_kill_cut_short_is_cut_off(path):
    written(path, "pause")
    with path.open("ab") as file:
        file.write(b'{"time": "20')
    written(path, "resume")
    assert verify(path).lines == 2


def test_one_process_at_a_time_writes_it(path):
    log = AuditLog(path)
    with pytest.raises(RefusedError, match="another process is writing it"):
        AuditLog(path)
    log.close()


def test_a_path_that_cannot_be_written_is_refused_in_one_line(tmp_path):
    with pytest.raises(RefusedError, match="audit log: No such file or directory; name another file"):
        AuditLog(tmp_path / "absent" / "audit.jsonl")


def test_an_action_that_fails_is_written_as_refused_with_its_reason(path):
    log = AuditLog(path)

    def apply():
        with log.of("ann", "apply", before="x") as detail:
            detail["policy"] = "y"
            raise RefusedError("no", "try again")

    with pytest.raises(RefusedError):
        apply()
    [entry] = log.newest(10)
    assert (entry.outcome, entry.detail) == ("refused", {"before": "x", "policy": "y", "why": "no; try again"})
    log.close()

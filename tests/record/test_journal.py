"""The journal on real files: whole lines, in order, whatever the disk does.

Past 300 lines because each way in which a disk fails its writer has a test here.
"""

import logging
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from shaper.policy.refused import RefusedError
from shaper.record.journal import Journal, Loss, codec, parse, read
from shaper.record.metrics import Metrics
from shaper.record.transfer import Outcome


def until(condition, seconds=20.0):
    """Wait for what another thread does; the bound only ends a hopeless wait."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def count(metrics, name, **labels):
    return metrics.registry.get_sample_value(f"shaper_journal_{name}_total", labels)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


@pytest.fixture
def open_journal(path, metrics):
    journals = []

    def make(path=path, **options):
        journals.append(Journal(path, metrics, **options))
        return journals[-1]

    yield make
    for journal in journals:
        journal.close()


def test_a_closed_journal_holds_every_record_in_order(path, open_journal, make_record, metrics):
    journal = open_journal()
    records = [make_record(id=f"{n:016x}") for n in range(2000)]
    for record in records:
        journal.record(record)
    assert journal.close()
    assert list(read(path)) == records
    assert count(metrics, "lines") == 2000


optional = st.none() | st.floats(allow_nan=False, allow_infinity=False)


@given(optional, st.text(max_size=30), st.sampled_from(Outcome), st.lists(st.text(max_size=9), max_size=3))
@example(rate=1e-320, name="\u2028\n\x00", outcome=Outcome.BLOCKED, flags=['"', "\\"])
def test_a_line_reads_back_as_the_same_record(make_record, rate, name, outcome, flags):
    record = make_record(achieved=rate, rule=name, outcome=outcome, flags=tuple(flags), estimate={name: 1.5})
    line = codec.dump_json(record)
    assert b"\n" not in line
    assert parse(line) == record


def test_only_its_owner_may_read_it(path, open_journal):
    open_journal()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_second_run_appends(path, open_journal, make_record):
    for name in ("first", "second"):
        journal = open_journal()
        journal.record(make_record(id=name))
        journal.close()
    assert [record.id for record in read(path)] == ["first", "second"]


def test_after_logrotate_it_goes_on_in_a_fresh_file(path, open_journal, make_record):
    journal = open_journal()
    journal.record(make_record(id="old"))
    until(lambda: path.stat().st_size)
    rotated = path.rename(path.with_suffix(".1"))
    journal.reopen()
    journal.record(make_record(id="new"))
    journal.close()
    assert [record.id for record in read(rotated)] == ["old"]
    assert [record.id for record in read(path)] == ["new"]


def test_a_record_never_waits_for_the_disk_and_what_overflows_is_counted(path, open_journal, make_record, metrics):
    journal = open_journal(size=10, retry=0.02)
    block(path, journal)
    until(lambda: journal.record(make_record()) or count(metrics, "errors", reason=Loss.QUEUE_FULL) >= 5)
    path.rmdir()
    journal.close()
    lost = count(metrics, "errors", reason=Loss.QUEUE_FULL)
    assert len(list(read(path))) == count(metrics, "lines") > 0
    assert lost >= 5


def block(path: Path, journal: Journal) -> None:
    """Make the path unwritable for anybody, root too: a directory stands there when the journal reopens."""
    path.unlink()
    path.mkdir()
    journal.reopen()


def test_an_unwritable_file_is_logged_once_and_nothing_is_lost_when_it_comes_back(
    path, open_journal, make_record, metrics, caplog
):
    caplog.set_level(logging.WARNING, "shaper.journal")
    journal = open_journal(retry=0.01)
    block(path, journal)
    journal.record(make_record(id="kept"))
    until(lambda: count(metrics, "errors", reason=Loss.WRITE) > 3)
    path.rmdir()
    until(lambda: count(metrics, "lines") == 1)
    assert [record.id for record in read(path)] == ["kept"]
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [
        f"{path}: the journal cannot be written: Is a directory; trying again",
        f"{path}: the journal is written again",
    ]


def test_closing_an_unwritable_journal_ends_soon_and_counts_what_is_lost(path, open_journal, make_record, metrics):
    journal = open_journal(retry=30)
    block(path, journal)
    for _ in range(3):
        journal.record(make_record())
    started = time.monotonic()
    assert not journal.close()
    assert time.monotonic() - started < 10
    journal.record(make_record())
    assert count(metrics, "errors", reason=Loss.CLOSED) == 4


FULL_DISK = """
import resource, signal, sys, time
from pathlib import Path
from shaper.record.journal import Journal, Loss, parse
from shaper.record.metrics import Metrics
path, line = Path(sys.argv[1]), sys.stdin.buffer.read()
def count(name, **labels):
    return metrics.registry.get_sample_value("shaper_journal_" + name, labels)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY))
metrics = Metrics()
journal = Journal(path, metrics, retry=0.01)
for _ in range(50):
    journal.record(parse(line))
while not count("errors_total", reason=Loss.WRITE):
    time.sleep(0.01)
print(path.read_bytes().count(b"\\n"), path.read_bytes()[-1:] in (b"", b"\\n"))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.close()
"""


def test_a_full_disk_leaves_no_torn_line_and_no_line_twice(path, make_record):
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)],
        input=codec.dump_json(make_record()),
        capture_output=True,
        timeout=60,
        check=True,
    )
    lines, whole = run.stdout.split()
    assert int(lines) < 50
    assert whole == b"True"
    assert len(list(read(path))) == 50


def test_a_kill_leaves_at_most_one_unfinished_line(path, make_record):
    program = (
        "import sys, os, signal; from pathlib import Path; from shaper.record.metrics import Metrics\n"
        "from shaper.record.journal import Journal, parse; line = sys.stdin.buffer.read()\n"
        "journal = Journal(Path(sys.argv[1]), Metrics())\n"
        "while True: journal.record(parse(line))"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE)
    process.stdin.write(codec.dump_json(make_record()))
    process.stdin.close()
    until(lambda: path.exists() and path.stat().st_size > 100_000, 60)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(list(read(path))) > 50


def test_an_unfinished_last_line_is_left_out_with_a_warning(path, make_record, caplog):
    line = codec.dump_json(make_record())
    path.write_bytes(line + b"\n" + line[:100])
    assert len(list(read(path))) == 1
    assert caplog.messages == [f"{path}:2: the last line is unfinished and left out"]


def test_a_restart_cuts_off_an_unfinished_last_line(path, open_journal, make_record, caplog):
    line = codec.dump_json(make_record())
    path.write_bytes(line + b"\n" + line[:100])
    journal = open_journal()
    journal.record(make_record(id="after"))
    journal.close()
    assert [record.id for record in read(path)] == [make_record().id, "after"]
    assert caplog.messages == [f"{path}: cut off 100 bytes of an unfinished last line"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_file_cut_anywhere_can_be_gone_on_with(tmp_path, make_record, data):
    whole = (codec.dump_json(make_record()) + b"\n") * 2
    cut = data.draw(st.integers(0, len(whole)))
    path = tmp_path / "cut.jsonl"
    path.write_bytes(whole[:cut])
    journal = Journal(path, Metrics())
    journal.record(make_record(id="after"))
    journal.close()
    assert [record.id for record in read(path)][-1] == "after"
    assert len(list(read(path))) == whole[:cut].count(b"\n") + 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"GET / HTTP/1.1", "expected value at line 1 column 1"),
        (b"{}", "it names no such schema"),
        (b"[1]", "it names no such schema"),
        (b'{"schema": "shaper.transfer/2"}', "it names no such schema"),
        (b'{"schema": "shaper.transfer/1"}', "id: Field required"),
        (b"", "EOF while parsing a value at line 1 column 0"),
        (b"\xff\xfe", "expected value at line 1 column 1"),
    ],
)
def test_a_foreign_line_is_refused_with_file_line_and_reason(path, make_record, line, reason):
    path.write_bytes(codec.dump_json(make_record()) + b"\n" + line + b"\n")
    with pytest.raises(RefusedError) as refused:
        list(read(path))
    assert str(refused.value) == (
        f"{path}:2: not a shaper.transfer/1 line: {reason}; delete the line, or read a file that shaper wrote"
    )


def test_a_value_of_the_wrong_type_is_refused_by_name(path, make_record):
    line = codec.dump_json(make_record()).replace(b'"status":200', b'"status":"200"')
    path.write_bytes(line + b"\n")
    with pytest.raises(RefusedError, match=r":1: not a .* line: status: Input should be a valid integer"):
        list(read(path))


def test_a_file_of_something_else_is_never_appended_to(path):
    path.write_text("# dear diary\n")
    with pytest.raises(RefusedError, match="it exists and is not a journal; name another file"):
        Journal(path, Metrics())
    assert path.read_text() == "# dear diary\n"


def test_two_proxies_cannot_write_one_journal(path, open_journal):
    open_journal()
    with pytest.raises(RefusedError, match="another process is writing it"):
        Journal(path, Metrics())


@pytest.mark.parametrize(
    ("name", "reason"),
    [("absent/journal.jsonl", "No such file or directory"), (".", "Is a directory")],
)
def test_a_path_that_cannot_work_is_refused_at_once(tmp_path, name, reason):
    with pytest.raises(RefusedError, match=f"the journal cannot be written: {reason}"):
        Journal(tmp_path / name, Metrics())


def test_a_device_or_pipe_is_no_journal(tmp_path):
    os.mkfifo(pipe := tmp_path / "pipe")
    with pytest.raises(RefusedError, match="it is not a regular file"):
        Journal(pipe, Metrics())


def test_a_record_that_cannot_be_json_is_counted_and_the_next_one_is_written(path, open_journal, make_record, metrics):
    journal = open_journal()
    journal.record(replace(make_record(), rule="\ud800"))
    journal.record(make_record(id="next"))
    journal.close()
    assert [record.id for record in read(path)] == ["next"]
    assert count(metrics, "errors", reason=Loss.MALFORMED) == 1


def test_recording_from_many_threads_loses_nothing(path, open_journal, make_record):
    journal = open_journal()
    threads = [threading.Thread(target=lambda: [journal.record(make_record()) for _ in range(200)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()
    assert len(list(read(path))) == 1600

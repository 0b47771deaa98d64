"""Erasing a person from a journal changes their name on their lines and nothing else."""

import json
import os
import threading

from hypothesis import given
from hypothesis import strategies as st

from shaper.record.erasure import erase

NAMES = ["aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb", None]


def lines(clients):
    return [{"schema": "s", "client": client, "size": size} for size, client in enumerate(clients)]


def write(path, records):
    path.write_bytes(b"".join(json.dumps(record, separators=(",", ":")).encode() + b"\n" for record in records))


@given(clients=st.lists(st.sampled_from(NAMES)))
def test_the_persons_lines_become_nobodys_and_the_others_stay_as_they_are(tmp_path_factory, clients):
    journal = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    write(journal, lines(clients))
    before = journal.stat().st_size
    assert erase(journal, NAMES[0]) == clients.count(NAMES[0])
    kept = [json.loads(line) for line in journal.read_bytes().splitlines()]
    assert kept == lines([None if client == NAMES[0] else client for client in clients])
    assert journal.stat().st_size == before


def test_rotated_files_are_done_too_and_a_missing_one_is_no_error(tmp_path):
    journal = tmp_path / "journal.jsonl"
    assert erase(journal, NAMES[0]) == 0
    for name in ("journal.jsonl", "journal.jsonl.1"):
        write(tmp_path / name, lines(NAMES))
    assert erase(journal, NAMES[0]) == 2


def test_no_line_is_lost_while_another_writer_appends(tmp_path):
    journal = tmp_path / "journal.jsonl"
    write(journal, lines(NAMES * 1000))
    line = json.dumps({"schema": "s", "client": NAMES[1], "size": 0}).encode() + b"\n"

    def append():
        file = os.open(journal, os.O_WRONLY | os.O_APPEND)
        for _ in range(2000):
            os.write(file, line)
        os.close(file)

    writer = threading.Thread(target=append)
    writer.start()
    erased = erase(journal, NAMES[0])
    writer.join()
    kept = [json.loads(line)["client"] for line in journal.read_bytes().splitlines()]
    assert (erased, len(kept), kept.count(NAMES[1]), kept.count(NAMES[0])) == (1000, 5000, 3000, 0)

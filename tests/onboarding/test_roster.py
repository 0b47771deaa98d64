"""Who takes part, on what terms, and what is left of them when they leave.

Past 300 lines because each way to begin, to rest and to end has a test here.
"""

import json
import threading
import time

import pytest

from shaper.onboarding import presence
from shaper.onboarding.budget import DAY, Terms
from shaper.onboarding.consent import text_digest
from shaper.onboarding.member import State
from shaper.onboarding.pseudonym import Pseudonyms
from shaper.onboarding.roster import Roster, UnknownVolunteerError, open_roster
from shaper.onboarding.store import SqliteStore
from shaper.policy.refused import RefusedError
from shaper.policy.verdict import Person, Reason
from shaper.record.journal import codec
from shaper.record.transfer import Outcome, TransferRecord

TEXT = text_digest("We slow images. You may stop.")
TERMS = Terms(consent=30 * DAY, keep=90 * DAY, bytes_a_day=1000, session=3600.0, rest=600.0, entries=3)


class Clock:
    now = 1_800_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def opened(tmp_path, clock):
    """Open the roster as a restarted proxy would."""
    rosters = []

    def open_again(**options):
        if rosters:
            rosters.pop().close()
        store = SqliteStore(tmp_path / "volunteers.sqlite", "study")
        options = {"terms": TERMS, "texts": [TEXT], "now": clock, **options}
        rosters.append(Roster(store, Pseudonyms(b"k" * 32), b"c" * 32, **options))
        return rosters[-1]

    yield open_again
    while rosters:
        rosters.pop().close()


@pytest.fixture
def roster(opened):
    return opened()


def volunteer(roster):
    pseudonym, _ = roster.enrol()
    roster.consent(pseudonym, TEXT, "en")
    return pseudonym


def transfer(client, size=100, arm="", media="image"):
    return TransferRecord(
        id=f"id-{size}", time="2027-01-15T08:00:00Z", study="study", policy="sha256:0", client=client, arm=arm,
        media=media, reason="matched", outcome=Outcome.COMPLETE, size=size, received=size, origin_ttfb=0.1,
        client_ttfb=0.1, origin_duration=0.2, duration=0.3, waiting=0.1, receiving=0.1, held=0.1, stalled=0.0,
    )  # fmt: skip


def test_only_the_right_credentials_name_somebody(roster):
    pseudonym, credential = roster.enrol()
    assert roster.authenticate(credential.username, credential.password) == pseudonym
    assert roster.sign_in(credential.token) == pseudonym
    for username, password in [
        ("", ""),
        (credential.username, ""),
        (credential.username, credential.password[:-1]),
        (credential.password, credential.username),
        ("\ud800", "\udfff"),
        ("\0", "x" * 100_000),
    ]:
        assert roster.authenticate(username, password) is None
    assert roster.sign_in("nonsense") is None
    assert roster.sign_in(credential.token.upper()) is None


def test_a_new_credential_ends_the_old_one(roster):
    pseudonym, old = roster.enrol()
    new = roster.renew(pseudonym)
    assert roster.sign_in(old.token) is None
    assert roster.sign_in(new.token) == pseudonym


@pytest.mark.parametrize("client", ["", "192.0.2.1", "\ud800"])
def test_a_stranger_is_left_alone(roster, client):
    standing = roster.standing(client)
    assert (standing.exempt, standing.person) == (Reason.NO_CONSENT, Person())


def test_nobody_takes_part_before_they_consent(roster):
    pseudonym, _ = roster.enrol(access="mobile")
    assert roster.standing(pseudonym).exempt is Reason.NO_CONSENT
    roster.consent(pseudonym, TEXT, "en")
    standing = roster.standing(pseudonym)
    assert (standing.exempt, standing.person) == (None, Person(pseudonym=pseudonym, access="mobile"))


def test_consent_to_a_text_that_is_not_in_force_is_refused(roster):
    pseudonym, _ = roster.enrol()
    with pytest.raises(RefusedError, match="no longer in force"):
        roster.consent(pseudonym, text_digest("an older text"), "en")
    assert roster.member(pseudonym).state is State.INVITED


def test_a_changed_text_asks_everybody_anew(opened, roster):
    pseudonym = volunteer(roster)
    roster = opened(texts=[text_digest("We slow images and video.")])
    assert roster.member(pseudonym).state is State.OUTDATED
    assert roster.standing(pseudonym).exempt is Reason.NO_CONSENT


def test_consent_expires(roster, clock):
    pseudonym = volunteer(roster)
    clock.now += TERMS.consent - 1
    assert roster.member(pseudonym).state is State.TAKING_PART
    clock.now += 1
    assert roster.member(pseudonym).state is State.EXPIRED
    assert roster.standing(pseudonym).exempt is Reason.NO_CONSENT


def test_stopping_works_at_once_and_survives_a_restart(opened, roster):
    pseudonym = volunteer(roster)
    roster.stop(pseudonym)
    assert roster.standing(pseudonym).exempt is Reason.NO_CONSENT
    roster = opened()
    assert roster.member(pseudonym).state is State.STOPPED


def test_who_stopped_may_come_back(roster, clock):
    pseudonym = volunteer(roster)
    roster.stop(pseudonym)
    clock.now += 1
    roster.consent(pseudonym, TEXT, "en")
    assert roster.member(pseudonym).state is State.TAKING_PART
    assert [bool(consent["withdrawn"]) for consent in roster.own_data(pseudonym)["consents"]] == [True, False]


def test_a_pause_lasts_an_hour_or_until_it_is_ended(roster, clock):
    pseudonym = volunteer(roster)
    roster.pause(pseudonym)
    assert roster.standing(pseudonym).exempt is Reason.PAUSED
    clock.now += 3599
    assert roster.standing(pseudonym).exempt is Reason.PAUSED
    clock.now += 1
    assert roster.standing(pseudonym).exempt is None
    roster.pause(pseudonym)
    roster.resume(pseudonym)
    assert roster.standing(pseudonym).exempt is None


def test_a_long_session_is_followed_by_a_rest(roster, clock):
    pseudonym = volunteer(roster)
    for _ in range(60):
        assert roster.standing(pseudonym).exempt is None
        clock.now += 60
    assert roster.standing(pseudonym).exempt is Reason.PAUSED
    assert roster.member(pseudonym).paused_until == clock.now + TERMS.rest
    clock.now += TERMS.rest
    assert roster.standing(pseudonym).exempt is None


def test_a_silence_as_long_as_a_rest_begins_a_new_session(roster, clock):
    pseudonym = volunteer(roster)
    for _ in range(20):
        assert roster.standing(pseudonym).exempt is None
        clock.now += TERMS.rest


def test_over_the_budget_traffic_is_left_alone_until_the_next_day(opened, roster, clock):
    pseudonym = volunteer(roster)
    roster.record(transfer(pseudonym, 999))
    assert roster.standing(pseudonym).exempt is None
    roster.record(transfer(pseudonym, 1))
    assert roster.standing(pseudonym).exempt is Reason.OVER_BUDGET
    roster = opened()
    assert roster.member(pseudonym).state is State.OVER_BUDGET
    clock.now += DAY
    assert (roster.member(pseudonym).state, roster.member(pseudonym).used) == (State.TAKING_PART, 0)


def test_an_arm_once_drawn_stays(opened, roster):
    pseudonym = volunteer(roster)
    roster.record(transfer(pseudonym, arm="slow"))
    assert roster.standing(pseudonym).person.arm == "slow"
    roster.record(transfer(pseudonym, arm="control"))
    assert roster.standing(pseudonym).person.arm == "slow"
    assert opened().standing(pseudonym).person.arm == "slow"


def test_a_census_counts_who_has_joined_is_here_and_must_be_asked_again(roster, clock):
    ann, bob, gone = volunteer(roster), volunteer(roster), volunteer(roster)
    roster.enrol()
    roster.stop(gone)
    roster.record(transfer(ann, arm="slow"))
    roster.standing(ann)
    assert roster.census() == (2, 1, 0, {"slow": 1, "": 1})
    clock.now += TERMS.consent - DAY
    assert roster.census() == (2, 0, 2, {"slow": 1, "": 1})
    assert roster.standing(bob).exempt is None
    assert roster.census().active == 1


def test_a_person_sees_the_newest_of_their_own_list_and_nobody_elses(roster, clock):
    ann, bob = volunteer(roster), volunteer(roster)
    for size in range(1, 6):
        clock.now += 1
        roster.record(transfer(ann, size))
    roster.record(transfer(bob, 77))
    roster.record(transfer(None, 88))
    roster.record(transfer("stranger", 99))
    assert [line["size"] for line in roster.entries(ann)] == [5, 4, 3]
    assert [line["size"] for line in roster.entries(ann, limit=1)] == [5]
    assert [line["size"] for line in roster.entries(bob)] == [77]
    assert roster.member(ann).used == 15


def test_own_data_are_complete_and_fit_for_json(roster):
    pseudonym = volunteer(roster)
    roster.record(transfer(pseudonym))
    data = json.loads(json.dumps(roster.own_data(pseudonym)))
    assert data["volunteer"]["pseudonym"] == pseudonym
    assert [consent["text"] for consent in data["consents"]] == [TEXT]
    assert [line["media"] for line in data["transfers"]] == ["image"]


def test_records_that_the_disk_cannot_take_are_counted_and_told(roster, monkeypatch, caplog):
    pseudonym = volunteer(roster)
    monkeypatch.setattr(presence, "BACKLOG", 0)
    roster.record(transfer(pseudonym))
    wait_until(lambda: "1 records came faster than the disk takes them" in caplog.text)
    assert roster.member(pseudonym).used == 100  # the budget counts them


def test_old_entries_are_forgotten(opened, roster, clock):
    pseudonym = volunteer(roster)
    roster.record(transfer(pseudonym))
    assert roster.entries(pseudonym)
    clock.now += TERMS.keep + 1
    roster = opened()
    wait_until(lambda: not roster.entries(pseudonym))


def test_after_deletion_no_byte_of_the_person_is_left(opened, roster, tmp_path):
    ann, bob = volunteer(roster), volunteer(roster)
    _, credential = ann, roster.renew(ann)
    for pseudonym, size in ((ann, 4242), (bob, 5353)):
        roster.record(transfer(pseudonym, size))
        roster.entries(pseudonym)
    found = (tmp_path / "volunteers.sqlite").read_bytes()
    marks = [b"id-4242", credential.digest(b"c" * 32)]
    assert all(mark in found for mark in marks)
    roster.delete(ann)
    for kept in tmp_path.iterdir():
        assert not any(mark in kept.read_bytes() for mark in marks), kept
    assert roster.authenticate(credential.username, credential.password) is None
    assert not roster.known(ann)
    assert roster.standing(ann).exempt is Reason.NO_CONSENT
    roster.record(transfer(ann))
    assert [member.pseudonym for member in opened().members()] == [bob]


def test_after_deletion_the_journals_lines_are_nobodys(opened, tmp_path):
    journals = [tmp_path / "journal.jsonl", tmp_path / "journal.jsonl.1"]
    roster = opened(journals=journals[:1])
    ann, bob = volunteer(roster), volunteer(roster)
    lines = [transfer(client, size) for client in (ann, bob, None) for size in (1, 2)]
    for journal in journals:
        journal.write_bytes(b"".join(codec.dump_json(line) + b"\n" for line in lines))
    roster.delete(ann)
    for journal in journals:
        kept = [codec.validate_json(line) for line in journal.read_bytes().splitlines()]
        assert [(line.client, line.size) for line in kept] == [
            (None, 1), (None, 2), (bob, 1), (bob, 2), (None, 1), (None, 2),
        ]  # fmt: skip


def test_a_line_that_was_on_its_way_is_erased_when_the_roster_closes(opened, tmp_path):
    journal = tmp_path / "journal.jsonl"
    journal.touch()
    roster = opened(journals=[journal])
    ann = volunteer(roster)
    roster.delete(ann)
    journal.write_bytes(codec.dump_json(transfer(ann)) + b"\n")
    opened()
    assert ann not in journal.read_text()


def test_what_another_process_adds_is_seen_while_running(tmp_path, clock):
    running, invite = (open_roster(tmp_path / "v.sqlite", "study") for _ in range(2))
    try:
        pseudonym, credential = invite.enrol()
        wait_until(lambda: running.known(pseudonym))
        assert running.authenticate(credential.username, credential.password) == pseudonym
        running.delete(pseudonym)
        wait_until(lambda: not invite.known(pseudonym))
    finally:
        running.close()
        invite.close()


def test_pseudonyms_are_the_same_after_a_restart_and_others_in_another_study(tmp_path):
    with_first = open_roster(tmp_path / "a.sqlite", "first")
    pseudonym, _ = with_first.enrol()
    with_first.close()
    again = open_roster(tmp_path / "a.sqlite", "first")
    assert again.known(pseudonym)
    assert again.assignment_key == with_first.assignment_key
    again.close()
    assert Pseudonyms.of_study(tmp_path / "k", "one").of("id") != Pseudonyms.of_study(tmp_path / "k", "two").of("id")


def test_a_database_serves_its_own_study_only(tmp_path):
    open_roster(tmp_path / "a.sqlite", "first").close()
    with pytest.raises(RefusedError, match='took part in the study "first", not "second"; use one file a study'):
        open_roster(tmp_path / "a.sqlite", "second")


def test_a_file_that_is_no_database_is_refused_in_one_line(tmp_path):
    (tmp_path / "a.sqlite").write_text("not a database, but long enough to look at" * 20)
    with pytest.raises(RefusedError, match="file is not a database; name another file"):
        open_roster(tmp_path / "a.sqlite", "study")


@pytest.mark.parametrize("key", ["credentials.key", "pseudonyms-study.key"])
def test_a_key_that_others_may_read_is_refused(tmp_path, key):
    open_roster(tmp_path / "a.sqlite", "study").close()
    (tmp_path / "a-keys" / key).chmod(0o640)
    with pytest.raises(RefusedError, match="others may use it"):
        open_roster(tmp_path / "a.sqlite", "study")


def test_database_and_keys_are_their_owners_only(tmp_path):
    open_roster(tmp_path / "a.sqlite", "study").close()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 3
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


@pytest.mark.parametrize("call", ["member", "stop", "pause", "resume", "delete", "renew", "entries", "own_data"])
def test_nobody_unknown_is_changed_or_shown(roster, call):
    with pytest.raises(UnknownVolunteerError):
        getattr(roster, call)("stranger")


def test_the_event_loop_is_never_kept_waiting_by_a_busy_store(roster):
    pseudonym = volunteer(roster)
    busy, done = threading.Event(), threading.Event()
    holder = threading.Thread(target=lambda: roster._writer.do(lambda: (busy.set(), done.wait(30))))
    holder.start()
    busy.wait(30)
    roster.record(transfer(pseudonym))
    assert roster.standing(pseudonym).exempt is None
    assert not done.is_set()
    done.set()
    holder.join()
    assert len(roster.entries(pseudonym)) == 1


def test_a_store_that_fails_for_a_while_loses_no_entry(roster, monkeypatch):
    pseudonym = volunteer(roster)
    failed = threading.Event()

    def fail(*_):
        failed.set()
        raise OSError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(roster._store, "add", fail)
        roster.record(transfer(pseudonym))
        assert failed.wait(30)
    assert len(roster.entries(pseudonym)) == 1


def wait_until(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)

"""The store keeps what it is given, for whom it knows, and forgets on demand."""

from dataclasses import replace

import pytest

from shaper.onboarding.consent import Consent
from shaper.onboarding.store import Entry, SqliteStore, Volunteer

ANN = Volunteer("ann", b"ann's", 1.0)
BOB = Volunteer("bob", b"bob's", 2.0, access="mobile", arm="slow", paused_until=9.0)
NOON = 43_200.0


@pytest.fixture
def path(tmp_path):
    return tmp_path / "v.sqlite"


@pytest.fixture
def store(path):
    store = SqliteStore(path, "study")
    yield store
    store.close()


def entry(owner, time=NOON, size=1):
    return Entry(owner, time, size, f"{owner} {time}")


def test_people_are_loaded_as_saved_with_their_latest_consent(store):
    first, second = Consent("text", "en", 1.0, 10.0), Consent("text", "ru", 2.0, 20.0)
    for person in (BOB, ANN):
        store.save(person)
    for consent in (second, first):
        store.save_consent("ann", consent)
    assert store.load() == [(ANN, second), (BOB, None)]
    withdrawn = replace(second, withdrawn=3.0)
    store.save_consent("ann", withdrawn)
    store.save(replace(ANN, arm="control", paused_until=5.0))
    assert store.load()[0] == (replace(ANN, arm="control", paused_until=5.0), withdrawn)
    assert store.consents("ann") == [first, withdrawn]


def test_the_newest_entries_are_kept_of_each_person(store):
    store.save(ANN)
    store.save(BOB)
    store.add([entry("ann", time) for time in range(10)], keep=3)
    store.add([entry("bob", 0)], keep=3)
    assert [one.time for one in store.entries("ann", 100)] == [9, 8, 7]
    assert len(store.entries("bob", 100)) == 1


def test_entries_of_nobody_are_dropped(store):
    store.save(ANN)
    store.add([entry("ann"), entry("stranger")], keep=10)
    assert store.entries("stranger", 10) == []
    assert store.used(NOON) == {"ann": 1}


def test_usage_counts_a_utc_day_whatever_is_kept(store):
    store.save(ANN)
    store.add([entry("ann", size=10) for _ in range(5)], keep=1)
    store.add([entry("ann", time=NOON + 86_400, size=7)], keep=1)
    assert store.used(0.0) == store.used(86_399.0) == {"ann": 50}
    assert store.used(NOON + 86_400) == {"ann": 7}


def test_purging_forgets_what_is_older(store):
    store.save(ANN)
    store.add([entry("ann", 1.0), entry("ann", 5 * 86_400.0)], keep=10)
    store.purge(4 * 86_400.0)
    assert [one.time for one in store.entries("ann", 10)] == [5 * 86_400.0]
    assert store.used(1.0) == {}


def test_only_what_others_wrote_counts_as_changed(store, path):
    other = SqliteStore(path, "study")
    store.save(ANN)
    assert (store.changed(), other.changed(), other.changed()) == (False, True, False)
    other.close()


def test_a_failed_transaction_leaves_nothing_behind(store):
    store.save(ANN)
    with pytest.raises(TypeError):
        store.add([entry("ann"), None], keep=10)
    assert store.entries("ann", 10) == []
    store.add([entry("ann")], keep=10)
    assert len(store.entries("ann", 10)) == 1


def test_no_file_but_the_database_lingers(store, path):
    store.save(ANN)
    store.add([entry("ann")], keep=10)
    store.delete("ann")
    assert list(path.parent.iterdir()) == [path]
    assert b"ann" not in path.read_bytes()


def test_no_column_could_hold_an_address_a_url_or_a_user_agent(store):
    columns = {
        column
        for (table,) in store._db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        for (_, column, *_) in store._db.execute(f"PRAGMA table_info({table})")
    }
    assert columns == {
        "name", "id", "credential", "created", "access", "arm", "paused_until", "volunteer", "text", "language",
        "given", "expires", "withdrawn", "time", "size", "body", "day", "bytes",
    }  # fmt: skip

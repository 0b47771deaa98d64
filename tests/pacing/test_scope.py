"""Who shares a bucket with whom, and when one is forgotten."""

from shaper.pacing.limit import Limit, Scope
from shaper.pacing.scope import BucketTable
from shaper.pacing.token_bucket import TokenBucket

ALL = [Limit(scope, 1000.0, 100.0) for scope in Scope]


def chain(table, now=0.0, connection="c1", client="p1", direction="down", name="rule"):
    return table.chain(name, ALL, connection=connection, client=client, now=now, direction=direction)


def same(one, other):
    return [a is b for a, b in zip(one, other, strict=True)]


def test_a_response_has_its_own_and_wider_scopes_share():
    table = BucketTable()
    first = chain(table)
    assert same(first, chain(table)) == [False, True, True, True]
    assert same(first, chain(table, connection="c2")) == [False, False, True, True]
    assert same(first, chain(table, connection="c3", client="p2")) == [False, False, False, True]


def test_directions_and_rules_have_buckets_of_their_own():
    table = BucketTable()
    assert same(chain(table), chain(table, direction="up")) == [False] * 4
    assert same(chain(table), chain(table, name="other")) == [False] * 4


def test_what_no_direction_is_named_for_comes_down():
    table = BucketTable()
    unnamed = table.chain("rule", ALL, connection="c1", client="p1", now=0.0)
    assert same(unnamed, chain(table)) == [False, True, True, True]


def test_a_bucket_is_forgotten_only_when_that_gives_nothing_away():
    table = BucketTable()
    chain(table)[1].reserve(1_000_000, 0.0)  # a thousand seconds' worth
    assert chain(table, now=900.0)[1].reserve(0, 900.0) > 999.0
    chain(table, now=2000.0, connection="c9", client="p9")
    assert len(table) == 3


def test_a_bucket_that_an_idle_transfer_holds_is_not_forgotten():
    table = BucketTable()
    quiet = chain(table)
    assert same(chain(table, now=1000.0), quiet) == [False, True, True, True]
    del quiet
    chain(table, now=2000.0, connection="c9", client="p9")
    assert len(table) == 3


def test_full_buckets_are_looked_for_once_a_minute(monkeypatch):
    table, looks = BucketTable(), []
    monkeypatch.setattr(TokenBucket, "is_full", lambda bucket, now: looks.append(now))
    for now in (0.0, 30.0, 59.9, 60.0, 60.1, 119.9, 120.0):
        chain(table, now=now)
    assert sorted(set(looks)) == [60.0, 120.0]  # there was none at first

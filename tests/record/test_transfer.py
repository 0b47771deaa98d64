"""The ledger's law: whatever happens, its parts sum to the duration, to the last bit."""

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shaper.record.transfer import Ledger, TransferRecord, Wait

instants = st.floats(min_value=0, max_value=1e6)
steps = st.lists(st.tuples(st.sampled_from(Wait), st.floats(min_value=0, max_value=1e4)), max_size=50)


@given(instants, steps, st.floats(min_value=0, max_value=1e4))
def test_the_parts_sum_to_the_duration_exactly(start, steps, last):
    ledger = Ledger(start)
    now = start
    for wait, step in steps:
        now += step
        ledger.enter(wait, now)
    duration = ledger.close(now + last)
    parts = [ledger.seconds[wait] for wait in (Wait.ORIGIN, Wait.RECEIVING, Wait.SHAPER, Wait.CLIENT)]
    assert sum(parts) == duration
    assert duration == pytest.approx(now + last - start, abs=1e-6)
    assert min(parts) >= 0


def test_each_wait_is_charged_for_its_own_stretch():
    ledger = Ledger(100.0)
    ledger.enter(Wait.RECEIVING, 100.5)
    ledger.enter(Wait.SHAPER, 101.0)
    ledger.enter(Wait.CLIENT, 104.0)
    ledger.enter(Wait.SHAPER, 104.25)
    assert ledger.close(106.25) == 6.25
    assert ledger.seconds == {Wait.ORIGIN: 0.5, Wait.RECEIVING: 0.5, Wait.SHAPER: 5.0, Wait.CLIENT: 0.25}


def test_a_transfer_that_never_leaves_the_origin_waits_for_it_alone():
    ledger = Ledger(1.0)
    assert ledger.close(4.0) == 3.0
    assert ledger.seconds[Wait.ORIGIN] == 3.0


def test_a_record_has_no_field_that_could_hold_what_must_not_be_kept():
    forbidden = {"url", "host", "path", "query", "cookie", "body", "address", "ip", "sni", "agent", "referer"}
    assert not forbidden & {part for field in fields(TransferRecord) for part in field.name.split("_")}

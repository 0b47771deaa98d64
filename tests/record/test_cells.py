"""Nobody can be recognised in a count."""

from hypothesis import given
from hypothesis import strategies as st

from shaper.record.cells import cells

people = st.lists(st.tuples(st.sampled_from("abcdefghij"), st.sampled_from(["slow", "control", "off"])))


@given(people, st.integers(1, 6))
def test_every_shown_cell_holds_enough_distinct_people(people, least):
    found = cells(people, least)
    distinct = {cell: len({person for person, other in people if other == cell}) for _, cell in people}
    assert found.shown == {cell: count for cell, count in distinct.items() if count >= least}
    assert found.suppressed == sum(count < least for count in distinct.values())


def test_one_person_many_times_is_one_person():
    assert cells([("ann", "slow")] * 100).shown == {}

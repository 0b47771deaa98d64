"""Study time and phases: across midnight and time zones, replayed, fixed, and under a clock that jumps."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shaper.policy.model import Phase
from shaper.policy.schedule import Schedule, ever_in_force, in_force

moments = st.datetimes(
    min_value=datetime(1990, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=3)), timezone(timedelta(hours=-11))]),
)
WALL = datetime(2026, 1, 1, tzinfo=UTC)
MARCH = datetime(2021, 3, 10, 7, tzinfo=UTC)


@given(moments)
def test_without_a_start_study_time_is_wall_time(wall):
    assert Schedule().at(wall) == wall


@given(moments)
def test_a_fixed_moment_stays(wall):
    assert Schedule(MARCH).at(wall) == MARCH


@pytest.mark.parametrize(
    ("passed", "speed", "study_passed"),
    [
        (timedelta(seconds=10), 3600, timedelta(hours=10)),
        (timedelta(hours=1), 0.5, timedelta(minutes=30)),
        (timedelta(), 3600, timedelta()),
        (timedelta(seconds=-10), 3600, timedelta()),
    ],
)
def test_a_replay_runs_from_its_start_at_its_speed_and_never_before(passed, speed, study_passed):
    assert Schedule(MARCH, WALL, speed).at(WALL + passed) == MARCH + study_passed


@given(moments, moments, st.floats(min_value=0, max_value=1e9))
def test_a_replay_never_runs_backwards_and_never_fails(one, other, speed):
    replay = Schedule(MARCH, WALL, speed)
    assert replay.at(min(one, other)) <= replay.at(max(one, other))


PHASES = [
    Phase(name="first", start="2021-03-10T10:00+03:00", end="2021-03-11T00:00Z"),
    Phase(name="second", start="2021-03-11T00:00Z", end="2021-03-12T00:00Z"),
    Phase(name="both", start="2021-03-10T23:00Z", end="2021-03-11T01:00Z"),
    Phase(name="open", start="2021-05-17T00:00Z"),
]


@pytest.mark.parametrize(
    ("moment", "names"),
    [
        ("2021-03-10T06:59:59+00:00", ()),
        ("2021-03-10T07:00:00+00:00", ("first",)),
        ("2021-03-10T10:00:00+03:00", ("first",)),
        ("2021-03-10T23:59:59+00:00", ("first", "both")),
        ("2021-03-11T00:00:00+00:00", ("second", "both")),
        ("2021-03-11T03:00:00+03:00", ("second", "both")),
        ("2021-03-11T12:00:00+00:00", ("second",)),
        ("2099-01-01T00:00:00+00:00", ("open",)),
    ],
)
def test_a_phase_is_in_force_from_its_start_up_to_its_end(moment, names):
    assert in_force(PHASES, datetime.fromisoformat(moment)) == names


@given(moments)
def test_phases_that_follow_each_other_are_never_both_in_force(moment):
    assert len({"first", "second"} & set(in_force(PHASES, moment))) <= 1


moment = st.integers(0, 48).map(lambda hours: (MARCH + timedelta(hours=hours)).isoformat())
phases = st.tuples(st.sampled_from("abc"), st.lists(moment, min_size=1, max_size=2, unique=True).map(sorted)).map(
    lambda spell: Phase(name=spell[0], **dict(zip(("start", "end"), spell[1], strict=False)))
)


@given(st.lists(phases, max_size=5), st.floats(0, 100))
def test_no_set_of_phases_comes_into_force_unforeseen(phases, hours):
    assert in_force(phases, MARCH + timedelta(hours=hours)) in {(), *ever_in_force(phases)}

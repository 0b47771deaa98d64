from dataclasses import replace
from math import inf, log

from synthetic_run import CONTROL, make_run, rewrite

from shaper.measure.run import Outcome
from shaper.report.claim import Direction, amount, direction, interval, p_value
from shaper.report.comparison import differences
from shaper.report.database import opened
from shaper.report.distribution import distributions

TWO = {"control": CONTROL, "slower": CONTROL}


def compared(run, arms=("control", "slower")):
    with opened([run]) as db:
        return {(one.metric, one.panel.media): one for one in differences(db, arms, "control")}


def test_a_slowdown_of_a_fifth_is_found_and_sized(tmp_path):
    found = compared(make_run(tmp_path / "run", TWO, blocks=30, pages=False, lags={"slower": 1.2}))
    for media in ("image", "video", "other"):
        one = found["time", media]
        assert one.differs
        assert direction(one) is Direction.UP
        assert one.natural(one.shift.lower) < 1.2 < one.natural(one.shift.upper)
        assert one.shift.pairs == 30


def test_equal_arms_are_not_called_different(tmp_path):
    found = compared(make_run(tmp_path / "run", TWO, blocks=30, pages=True, seed=4))
    assert not [key for key, one in found.items() if one.differs]
    assert found["time", "video"].power > 0.8


def test_a_block_counts_once_however_many_objects_it_has(tmp_path):
    run = make_run(tmp_path / "run", TWO, blocks=8, pages=False)
    before = compared(run)["time", "image"]
    lines = (run / "samples.jsonl").read_bytes()
    (run / "samples.jsonl").write_bytes(
        lines + lines.replace(b'"id":"', b'"id":"again-').replace(b'"photo"', b'"photo-2"')
    )
    after = compared(run)["time", "image"]
    assert after.shift == before.shift


def test_only_objects_of_the_same_block_are_compared(tmp_path):
    run = make_run(tmp_path / "run", TWO, blocks=8, pages=False)
    rewrite(run, lambda sample: None if (sample.block, sample.arm) == ("3", "control") else {})
    assert compared(run)["time", "image"].shift.pairs == 7


def test_a_timeout_is_a_bound_and_not_a_time(tmp_path):
    """Half of the slower arm is cut off at a second: the estimate becomes a range and the upper end opens."""
    run = make_run(tmp_path / "run", TWO, blocks=20, pages=False)

    def cut(sample):
        late = sample.arm == "slower" and int(sample.block) % 2 == 0
        return {"outcome": Outcome.TIMEOUT, "duration": 1.0} if late else {}

    rewrite(run, cut)
    found = compared(run)["time", "image"]
    assert found.shift.censored == 10
    assert found.shift.upper == inf
    assert found.shift.estimate[0] < found.shift.estimate[1]
    assert "open" in interval(found)
    assert amount(found).startswith("at least ") or " to " in amount(found)
    with opened([run]) as db:
        (slower,) = [
            one
            for one in distributions(db, ("control", "slower"))
            if one.arm == "slower" and one.panel.media == "image"
        ]
    assert slower.timeouts == 10
    assert slower.share[-1] == 0.5
    assert slower.quantile(0.9) is None


def test_a_timeout_of_the_reference_bounds_the_other_side(tmp_path):
    run = make_run(tmp_path / "run", TWO, blocks=20, pages=False)
    rewrite(
        run, lambda s: {"outcome": Outcome.TIMEOUT, "duration": 9.0} if s.arm == "control" and s.block < "3" else {}
    )
    found = compared(run)["time", "image"].shift
    assert found.lower < found.upper < inf
    assert found.lower == -inf or found.censored


def test_shares_are_subtracted_and_times_divided(tmp_path):
    found = compared(make_run(tmp_path / "run", blocks=8), ("control", "announced", "measured"))
    assert not found["images-5s", "page"].factor
    assert found["load", "page"].factor
    assert amount(found["rebuffering", "page"]).endswith(" s")


def test_alike_is_said_only_where_the_interval_leaves_no_room(tmp_path):
    one = compared(make_run(tmp_path / "run", TWO, blocks=30, pages=False))["time", "image"]
    narrow = replace(one, p_family=1.0, shift=replace(one.shift, lower=-log(1.05), upper=log(1.05)))
    wide = replace(narrow, shift=replace(narrow.shift, upper=log(1.3)))
    assert (direction(narrow), direction(wide)) == (Direction.ALIKE, Direction.OPEN)


def test_a_p_value_is_never_written_as_nought():
    assert p_value(1e-9) == "p < 0.0001"
    assert p_value(0.0312) == "p = 0.031"

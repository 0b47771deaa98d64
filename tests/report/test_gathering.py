"""What each picture is drawn from, where the right answer is known from the run itself."""

from dataclasses import replace

import pytest
from synthetic_run import make_run, one_record, rewrite

from shaper.measure.run import Outcome, Run
from shaper.record import journal
from shaper.report.completion import completions
from shaper.report.database import opened
from shaper.report.flow import flows
from shaper.report.ledger import ledgers
from shaper.report.panel import panel
from shaper.report.series import series
from shaper.report.throughput import draw, throughputs
from shaper.report.waterfall import waterfalls

ARMS = ("control", "announced", "measured")


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run", blocks=5)


def gathered(run, what):
    with opened([run]) as db:
        return {one.arm: one for one in what(db, ARMS)}


def pages(run, arm):
    return [sample for sample in Run.open(run).samples() if sample.browser and sample.arm == arm]


def test_the_waterfall_is_the_load_in_the_middle(run):
    found = gathered(run, waterfalls)
    for arm in ARMS:
        loads = sorted(page.browser.load for page in pages(run, arm))
        assert found[arm].load == loads[2]
        assert found[arm].loads == 5
        assert len(found[arm].bars) == 14


def test_a_load_that_never_ended_is_later_than_any_that_did(run):
    late = {"outcome": Outcome.TIMEOUT, "duration": 60.0}

    def cut(sample):
        if not sample.browser or sample.arm != "measured" or sample.block in ("0", "1"):
            return {}
        return late | {"browser": replace(sample.browser, load=None)}

    rewrite(run, cut)
    assert gathered(run, waterfalls)["measured"].load is None
    assert gathered(run, waterfalls)["measured"].watched == 60.0


def test_the_completion_curve_passes_through_the_marks(run):
    for arm, one in gathered(run, completions).items():
        assert one.images == 60, arm
        for mark, share in zip((5.0, 10.0, 30.0), one.marks, strict=True):
            reached = max(
                (part for at, part in zip(one.seconds, one.share, strict=True) if at <= 1.005 * mark), default=0
            )
            assert reached == pytest.approx(share)


def test_a_journal_belongs_to_the_arm_in_its_name_whatever_its_clients_were(run):
    record = one_record(None, next(iter(Run.open(run).samples())))
    lines = b"".join(journal.codec.dump_json(replace(record, id=str(i), arm="treatment")) + b"\n" for i in range(7))
    (run / "journal-measured.1.jsonl").write_bytes(lines)
    with opened([run]) as db:
        assert sum(one.transfers for one in ledgers(db, ARMS) if one.arm == "measured") == 15 + 7


def test_flows_are_drawn_by_their_ids_when_there_are_too_many(run):
    with opened([run]) as db:
        few = flows(db, ARMS, most=2)
        again = flows(db, ARMS, most=2)
        everything = flows(db, ARMS)
    assert len(few) == 2 * 3 * 3
    assert few == again
    assert set(few) <= set(everything)


def test_an_upload_is_no_flow_for_its_reads_are_those_of_its_answer(run):
    with opened([run]) as db:
        before = flows(db, ARMS)
    rewrite(run, lambda sample: {"media": "upload"} if sample.media == "other" else {})
    with opened([run]) as db:
        after = flows(db, ARMS)
    assert {flow.panel.media for flow in before} - {flow.panel.media for flow in after} == {"other"}
    assert [judged for judged in series(run) if ", upload" in judged.group and judged.reads] == []


@pytest.mark.parametrize(("panels", "rows", "columns"), [(1, 2, 1), (3, 2, 3), (4, 4, 2), (6, 4, 3), (7, 6, 3)])
def test_panels_of_throughput_stand_three_beside_one_another_at_most(run, panels, rows, columns):
    with opened([run]) as db:
        one = throughputs(flows(db, ARMS))[0]
    many = [replace(one, panel=panel("image", f"probe-{number}")) for number in range(panels)]
    shown = [plot for plot in draw(many, ARMS).axes if plot.get_visible()]
    assert len(shown) == 2 * panels
    assert shown[0].get_gridspec().get_geometry() == (rows, columns)


def test_rates_over_time_keep_the_bytes_of_each_flow(run):
    """Over the whole windows of a transfer, mean rate times their length is what came in them."""
    with opened([run]) as db:
        shown = [one for one in throughputs(flows(db, ARMS)) if one.arm == "announced" and one.panel.media == "video"]
    (one,) = shown
    assert one.asked == 150e3
    assert sum(one.median[1:]) / len(one.median[1:]) == pytest.approx(150e3, rel=0.03)
    assert one.seconds == tuple(sorted(one.seconds))

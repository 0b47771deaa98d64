"""One report over one run with a known truth, looked at from every side; made once, for pictures take seconds."""

import csv
import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import duckdb
import pytest
from synthetic_run import CONTROL, edit_conditions, make_run, rewrite

from shaper.measure.calibration import Figure, Tolerance
from shaper.measure.certificate import Certificate
from shaper.measure.run import RunError
from shaper.report.claim import Support
from shaper.report.database import opened
from shaper.report.drawing import PALETTE
from shaper.report.page import PICTURES
from shaper.report.parquet import pack
from shaper.report.report import report
from shaper.report.study import open_runs, study


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    run = make_run(tmp_path_factory.mktemp("made") / "run", blocks=8, seed=3)
    certified(run)
    out = run / "report"
    return report([run], out), out


def analysed(*runs, against=None):
    opened_runs = open_runs(runs)
    with opened([run.path for run in opened_runs]) as db:
        return study(db, opened_runs, against)


def texts(found, support):
    return [claim.text for claim in found.claims if claim.support is support]


def test_it_finds_what_was_done(made):
    found, _ = made
    supported = " ".join(texts(found, Support.SUPPORTED))
    assert "Image by h1: time to complete is longer under announced" in supported
    assert re.search(r"Other by h1: time to complete is longer under measured \(\S+ \[[^]]*\]\) than", supported)
    assert not re.search(r"Other by h1: time to complete is longer under announced", supported)


def test_the_rates_and_looks_are_the_ones_that_were_configured(made):
    found, _ = made
    for one in found.behaviours:
        if one.asked and one.panel.media in ("image", "video"):
            assert one.settled[1] == pytest.approx(one.asked[0], rel=0.03)
            look = "smooth" if one.arm == "announced" else "windowed"
            assert one.looks[look] >= 7


def test_the_ledgers_parts_sum_to_the_clients_time(made):
    found, _ = made
    durations = {(d.panel.media, d.arm): d for d in found.distributions}
    for one in found.ledgers:
        assert one.total == pytest.approx(durations[one.panel.media, one.arm].quantile(0.5), rel=0.2)


def test_the_page_shows_the_certificate(made):
    _, out = made
    page = (out / "report.html").read_text()
    assert "<dd>passed</dd>" in page
    assert "achieved over configured from 0.9987 to 0.9987" in page


def test_the_page_is_one_file_without_script_or_network(made):
    _, out = made
    page = (out / "report.html").read_text()
    assert "<script" not in page
    assert not re.search(r"""(src|href)=["'](?!#)""", page.replace('xlink:href="#', ""))
    assert not re.search(r"url\((?!#)", page)


class Outline(HTMLParser):
    def __init__(self):
        super().__init__()
        self.ids, self.pointers, self.headings = [], [], []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if "id" in attrs:
            self.ids.append(attrs["id"])
        self.pointers += [
            attrs[key].removeprefix("#") for key in ("href", "xlink:href") if attrs.get(key, "")[:1] == "#"
        ]
        self.pointers += attrs.get("aria-labelledby", "").split()
        self.pointers += re.findall(r"url\(#([^)]*)\)", " ".join(value or "" for value in attrs.values()))
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))


def test_ids_are_unique_and_every_pointer_has_its_target(made):
    _, out = made
    outline = Outline()
    outline.feed((out / "report.html").read_text())
    assert len(outline.ids) == len(set(outline.ids))
    assert set(outline.pointers) <= set(outline.ids)
    assert outline.headings[0] == 1
    assert all(later <= earlier + 1 for earlier, later in zip(outline.headings, outline.headings[1:], strict=False))


def test_every_colour_in_a_picture_turns_with_the_palette(made):
    _, out = made
    page = (out / "report.html").read_text()
    svgs = re.findall(r"<svg role.*?</svg>", page, re.DOTALL)
    assert len(svgs) == len(PICTURES)
    bare = re.compile(r"(?<!, )#[0-9a-f]{6}\b")
    assert not [colour for svg in svgs for colour in bare.findall(svg)]


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1])
def test_the_palette_has_the_contrast_that_wcag_asks_for(scheme):
    paper = PALETTE["paper"][scheme]
    for name, pair in PALETTE.items():
        needed = {"ink": 4.5, "quiet": 4.5, "arm-1": 4.5, "paper": 1, "grid": 1}.get(name, 3)
        assert contrast(pair[scheme], paper) >= needed, name


def test_figures_and_tables_are_written_for_notebooks(made):
    found, out = made
    assert {file.stem for file in (out / "figures").glob("*.svg")} == set(PICTURES)
    assert {file.stem for file in (out / "figures").glob("*.png")} == set(PICTURES)
    with (out / "tables" / "differences.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(found.differences)
    parquet = duckdb.sql(f"SELECT * FROM '{out / 'tables' / 'differences.parquet'}'").fetchall()
    assert len(parquet) == len(rows)
    assert duckdb.sql(f"SELECT count(*) FROM '{out / 'samples.parquet'}'").fetchall() == [(96,)]
    written = json.loads((out / "report.json").read_text())
    assert [claim["text"] for claim in written["claims"]] == [claim.text for claim in found.claims]


def test_a_packed_run_gives_the_same_report(made, tmp_path):
    found, _ = made
    run = make_run(tmp_path / "run", blocks=8, seed=3)
    list(pack([run]))
    assert analysed(run).differences == found.differences


def test_runs_can_be_taken_together_and_another_reference_chosen(tmp_path):
    first = make_run(tmp_path / "first", blocks=4, pages=False, seed=1)
    second = make_run(tmp_path / "second", blocks=4, pages=False, seed=2)
    both = analysed(first, second, first)
    assert both.blocks == 8
    assert both.differences[0].shift.pairs == 8
    turned = analysed(first, against="measured")
    assert turned.arms == ("measured", "control", "announced")


def test_what_the_data_cannot_show_is_said(tmp_path):
    run = make_run(tmp_path / "run", blocks=4, pages=False, timeout=4.0, certificate=None)
    edit_conditions(run, ended=None)
    rewrite(run, lambda sample: {"intact": False} if sample.arm == "control" and sample.media == "other" else {})
    found = analysed(run)
    limits = " ".join(texts(found, Support.LIMIT))
    for said in (
        "no calibration certificate",
        "Video by h1, announced: many never finished",
        "Other by h1, control: some bodies are not what was sent",
        "was not finished",
    ):
        assert said in limits
    assert texts(found, Support.SUPPORTED) == []  # four blocks cannot
    assert "for 0.80 it takes" in " ".join(claim.figures for claim in found.claims)


def test_arms_that_share_no_block_are_shown_and_not_compared(tmp_path):
    run = make_run(tmp_path / "run", blocks=2, pages=False)
    rewrite(run, lambda sample: {"block": f"{sample.block}-{sample.arm}"})
    found = analysed(run)
    assert found.differences == ()
    assert texts(found, Support.OPEN)[0].startswith("Nothing can be compared")


def certified(run, **changes):
    """Lay a certificate beside a run whose proxies ran under it."""
    facts = {
        "made": datetime(2026, 2, 20, tzinfo=UTC), "valid_until": datetime(2026, 3, 20, tzinfo=UTC),
        "machine": "a lab's", "versions": {}, "policies": (), "tolerance": Tolerance(), "lag": 0.001, "passed": True,
        "figures": (Figure(
            rate=150e3, manner="smooth", window=1.0, protocol="h1", repeats=3, ratio=0.9987, low=0.998, high=0.9995,
            burst=0.0, burst_configured=2048, distance=200.0, gap=0.02, latency=0.002,
        ),),
    }  # fmt: skip
    made = Certificate(**facts | changes).sealed()
    made.write(run / "certificate.json")
    conditions = json.loads((run / "run.json").read_text())
    arms = [arm | {"certificate": made.digest} for arm in conditions["arms"]]
    edit_conditions(run, arms=arms)
    return made


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"passed": False}, "the calibration did not pass"),
        ({"valid_until": datetime(2026, 2, 28, tzinfo=UTC)}, "the certificate had expired"),
    ],
)
def test_a_rate_is_as_certain_as_the_certificate_it_was_made_under(tmp_path, changes, said):
    run = make_run(tmp_path / "run", blocks=2, pages=False)
    made = certified(run, **changes)
    found = analysed(run)
    assert found.certificates == (made,)
    limits = [text for text in texts(found, Support.LIMIT) if "No rate is certain" in text]
    assert limits == ([f"No rate is certain under announced, control and measured: {said}."] if said else [])


def test_a_certificate_that_is_not_there_or_was_changed_is_said_or_refused(tmp_path):
    run = make_run(tmp_path / "run", blocks=2, pages=False)
    assert "does not lie with the run" in " ".join(texts(analysed(run), Support.LIMIT))
    certified(run)
    text = (run / "certificate.json").read_text()
    (run / "certificate.json").write_text(text.replace("0.9987", "1.0000"))
    with pytest.raises(RunError, match="was changed after it was made"):
        analysed(run)


def test_an_arm_that_the_conditions_do_not_name_is_refused(tmp_path):
    run = make_run(tmp_path / "run", {"control": CONTROL}, blocks=2, pages=False)
    rewrite(run, lambda sample: {"arm": "stranger"})
    with pytest.raises(RunError, match=r'arm "stranger" has samples and is not in run\.json'):
        analysed(run)
    (run / "samples.jsonl").write_bytes(b"")
    with pytest.raises(RunError, match="no samples yet"):
        analysed(run)
    with pytest.raises(RunError, match='no arm "nobody"'):
        analysed(run, against="nobody")

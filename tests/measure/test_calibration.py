"""Figures from lines of known shape, and certificates that cannot be bent."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shaper.measure.calibration import Tolerance, figure
from shaper.measure.certificate import Certificate, read
from shaper.policy.refused import RefusedError

RATE, BURST, QUANTUM = 150_000.0, 2048, 375


def drawn(rate=RATE, burst=BURST, size=40_000, late=0.0, stall=None):
    """A line as an exact pacer draws it: whole pieces, each when it is paid for."""
    line, had, at = [], 0, 10.0
    while had < size:
        piece = min(QUANTUM, size - had)
        had += piece
        due = 10.0 + max(0.0, (had - burst) * 8 / rate) + late
        at = max(due, at)
        if stall and stall[0] <= at - 10.0 < stall[0] + stall[1]:
            at = 10.0 + sum(stall)
        line.append((at, piece))
    return line


def found(*lines, latencies=(0.004,)):
    return figure(RATE, "h1", BURST, lines=lines, latencies=latencies, tolerance=Tolerance())


def test_an_exact_line_is_within_tolerance():
    exact = found(drawn(), drawn())
    assert exact.ok, exact.misses
    assert exact.ratio == pytest.approx(1.0, abs=0.002)
    assert exact.burst == pytest.approx(BURST, abs=QUANTUM)
    assert (exact.low, exact.high) == pytest.approx((exact.ratio, exact.ratio))


@pytest.mark.parametrize(
    ("line", "miss"),
    [
        (drawn(rate=RATE * 0.95), "achieved/configured"),
        (drawn(rate=RATE * 1.05), "achieved/configured"),
        (drawn(burst=BURST * 1.5), "burst"),
        (drawn(stall=(0.5, 0.4)), "gap"),
    ],
)
def test_a_line_that_is_off_misses(line, miss):
    assert any(each.startswith(miss) for each in found(line, line).misses)


def test_slow_company_misses():
    assert "latency" in found(drawn(), drawn(), latencies=[0.5, 0.6]).misses[0]


def test_the_interval_is_students():
    fast, slow = drawn(rate=RATE * 1.01), drawn(rate=RATE * 0.99)
    both = found(fast, slow)
    assert both.high - both.ratio == pytest.approx(12.706 * 0.01, rel=0.02)
    assert not both.ok


def test_one_repeat_has_no_interval():
    with pytest.raises(ValueError, match="two repeats"):
        found(drawn())


def certificate(**changes):
    now = datetime(2026, 1, 1, tzinfo=UTC)
    made = Certificate(
        made=now, valid_until=now + timedelta(days=30), machine="m", versions={"shaper": "1"}, policy=None,
        tolerance=Tolerance(), figures=(found(drawn(), drawn()),), lag=0.001, passed=True,
    )  # fmt: skip
    return replace(made, **changes).sealed()


def test_a_certificate_reads_back_as_it_was(tmp_path):
    path = tmp_path / "certificate.json"
    certificate().write(path)
    assert read(path) == certificate()


def test_a_changed_certificate_is_refused(tmp_path):
    path = tmp_path / "certificate.json"
    certificate(passed=False).write(path)
    path.write_text(path.read_text().replace('"passed": false', '"passed": true'))
    with pytest.raises(RefusedError, match="changed after it was made"):
        read(path)


@pytest.mark.parametrize("text", ["", "{}", '{"schema": "shaper.certificate/1"}', "[]"])
def test_anything_else_is_refused(tmp_path, text):
    path = tmp_path / "certificate.json"
    path.write_text(text)
    with pytest.raises(RefusedError, match="not a calibration certificate"):
        read(path)
    with pytest.raises(RefusedError, match="cannot be read"):
        read(tmp_path / "absent.json")


@pytest.mark.parametrize(
    ("changes", "days", "reason"),
    [
        ({}, 1, None),
        ({"passed": False}, 1, "did not pass"),
        ({}, 31, "expired on 2026-01-31"),
        ({"policy": "sha256:other"}, 1, "another policy"),
        ({"policy": "sha256:mine"}, 1, None),
        ({"versions": {"shaper": "2"}}, 1, "other versions"),
        ({"machine": "n"}, 1, "another machine"),
    ],
)
def test_what_a_certificate_is_good_for(changes, days, reason):
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=days)
    refusal = certificate(**changes).refusal("sha256:mine", now, {"shaper": "1"}, "m")
    assert (reason is None) == (refusal is None)
    assert reason is None or reason in refusal

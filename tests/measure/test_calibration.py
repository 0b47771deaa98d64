"""Figures from lines of known shape, and certificates that cannot be bent."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shaper.measure.calibration import Asked, Tolerance, figure
from shaper.measure.certificate import Certificate, read
from shaper.pacing.limit import Limit, Manner, Scope
from shaper.policy.load import loads
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
    return figure(Asked(RATE, BURST), "h1", lines=lines, latencies=latencies, tolerance=Tolerance())


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


def windowed(rate=RATE, allowances=3, late=0.0):
    """A line as an exact window draws it: each second's allowance within some milliseconds."""
    grant = int(RATE / 8)
    return [
        (10.0 + n * RATE / rate + late * (n > 0) + piece / 50_000, 375)
        for n in range(allowances)
        for piece in range(grant // 375)
    ]


WINDOW = Asked(RATE, int(RATE / 8), "window", 1.0)


@pytest.mark.parametrize(
    ("line", "miss"),
    [
        (windowed(), None),
        (windowed(rate=RATE * 0.95), "achieved/configured"),
        (windowed(late=0.2), "achieved/configured"),
        (drawn(rate=RATE * 1.05, burst=WINDOW.at_once, size=3 * WINDOW.at_once), "achieved/configured"),
    ],
)
def test_a_window_is_held_against_its_own_allowance(line, miss):
    misses = figure(WINDOW, "h1", lines=[line, line], latencies=[0.004], tolerance=Tolerance()).misses
    assert misses == () if miss is None else any(each.startswith(miss) for each in misses)


def test_what_a_limit_asks():
    smooth = Limit(Scope.CLIENT, 18_750.0, 2048.0)
    assert Asked.of(smooth) == Asked(150_000.0, 2048)
    assert Asked.of(replace(smooth, manner=Manner.WINDOW, window=0.5)) == Asked(150_000.0, 9375, "window", 0.5)
    assert Asked.of(smooth).size(2.0) == 2048 + 37_500
    assert WINDOW.size(2.0) == 3 * 18_750


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
        made=now, valid_until=now + timedelta(days=30), machine="m", versions={"shaper": "1"}, policies=(),
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


POLICY = """
version: 1
study: certified
targets: {t: {hosts: [example.org]}}
rules: [{name: r, target: t, media: [image], caps: [{rate: 150 kbit/s, burst: 2 KiB, CAP}]}]
"""


def refusal(made, *, days=1, cap="manner: smooth"):
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=days)
    text = POLICY.replace("burst: 2 KiB, CAP", cap) if "window" in cap else POLICY.replace("CAP", cap)
    return made.refusal(loads(text, "certified.yaml"), now, {"shaper": "1"}, "m")


@pytest.mark.parametrize(
    ("changes", "days", "reason"),
    [
        ({"passed": False}, 1, "did not pass"),
        ({}, 31, "expired on 2026-01-31"),
        ({"versions": {"shaper": "2"}}, 1, "other versions"),
        ({"machine": "n"}, 1, "another machine"),
        ({"figures": ()}, 1, "does not cover 150 kbit/s, smooth"),
    ],
)
def test_what_a_certificate_is_not_good_for(changes, days, reason):
    assert reason in refusal(certificate(**changes), days=days)


def test_a_certificate_is_good_for_the_caps_that_it_is_about():
    made = certificate(policies=("sha256:certified",))
    assert refusal(made) is None
    assert refusal(made, cap="scope: client") is None
    assert "does not cover 150 kbit/s, window" in refusal(made, cap="manner: window")


def test_rates_that_were_not_chosen_for_a_policy_are_good_for_those_between_them():
    around = tuple(replace(found(drawn(), drawn()), rate=rate) for rate in (1e5, 1e6))
    assert refusal(certificate(figures=around)) is None
    assert "does not cover" in refusal(certificate(figures=around, policies=("sha256:other",)))
    assert "does not cover" in refusal(certificate(figures=around[1:]))

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import synthetic_run
from hypothesis import given
from hypothesis import strategies as st

from shaper.report.signature import LOOKS, Look, figures, signature

SEEDS = range(20)


def looks(kind, size=200_000, rate=150e3):
    made = getattr(synthetic_run, kind)
    return [signature(made(np.random.default_rng(seed), size, 0.03, rate)).look for seed in SEEDS]


@pytest.mark.parametrize(("kind", "look"), [("smooth", Look.SMOOTH), ("window", Look.WINDOWED)])
def test_each_manner_looks_like_itself(kind, look):
    assert looks(kind).count(look) >= 19
    assert looks(kind, size=1_500_000, rate=1e6).count(look) >= 17


def test_a_path_of_its_own_rate_is_unshaped():
    assert looks("unshaped", size=1_000_000, rate=40e6).count(Look.UNSHAPED) == 20


def test_a_line_that_is_merely_uneven_is_not_called_policed():
    """A policer lets its bucket through first; without a head start, jitter is no sign of one."""
    rng = np.random.default_rng(5)
    reads = [(float(t), 1448) for t in np.cumsum(rng.exponential(0.08, 150))]
    assert signature(reads).look is Look.INCONCLUSIVE


def test_the_rate_is_the_one_it_was_shaped_to():
    for kind in ("smooth", "window"):
        reads = getattr(synthetic_run, kind)(np.random.default_rng(1), 400_000, 0.03, 150e3)
        assert signature(reads).rate == pytest.approx(150e3, rel=0.05)


def test_a_burst_before_a_straight_line_is_still_smooth():
    burst = [(0.03 + 0.0001 * i, 1400) for i in range(10)]
    line = [(0.04 + 0.02 * i, 375) for i in range(600)]
    assert signature(burst + line).look is Look.SMOOTH


def test_whole_tls_records_on_a_beat_are_inconclusive():
    """One read of 16 kB every 0.87 s is smooth pacing of large records, or a window: nobody can tell."""
    found = signature([(0.1 + 0.87 * i, 16_384) for i in range(14)])
    assert found.look is Look.INCONCLUSIVE
    assert "TLS records" in found.evidence


def test_a_slow_line_is_unshaped_when_it_is_known_to_be_slow():
    reads = synthetic_run.smooth(np.random.default_rng(1), 400_000, 0.03, 150e3)
    assert signature(reads, line=200e3).look is Look.UNSHAPED


@pytest.mark.parametrize("reads", [[], [(0.1, 100)], [(0.1, 500), (9.0, 500)], [(0.0, 5)] * 30])
def test_too_little_is_inconclusive_or_unshaped_and_never_a_claim(reads):
    assert signature(reads).look in (Look.INCONCLUSIVE, Look.UNSHAPED)


def test_a_short_transfer_that_took_longer_than_tcp_needs_is_inconclusive():
    assert signature([(0.01 + 0.15 * i, 1400) for i in range(10)]).look is Look.INCONCLUSIVE


events = st.lists(st.tuples(st.floats(1e-4, 2.0), st.integers(1, 65_536)), min_size=1, max_size=80)


@given(events)
def test_any_series_gets_a_look_and_finite_figures(steps):
    times = np.cumsum([wait for wait, _ in steps])
    reads = [(float(t), size) for t, (_, size) in zip(times, steps, strict=True)]
    found = signature(reads)
    assert found.evidence
    if found.figures:
        assert np.isfinite([found.figures.rate, found.figures.wander, found.figures.head_start]).all()


@given(st.floats(0.2, 5.0))
def test_the_figures_scale_with_bytes(factor):
    reads = synthetic_run.window(np.random.default_rng(3), 200_000, 0.03, 150e3)
    scaled = figures([(t, round(n * 1000 * factor)) for t, n in reads])
    assert scaled.rate == pytest.approx(figures(reads).rate * 1000 * factor, rel=1e-3)
    assert scaled.wander == pytest.approx(figures(reads).wander, rel=1e-3)
    assert scaled.windowed == figures(reads).windowed


def test_real_flows_that_were_kept_look_like_their_truth():
    """Made by bench/flows.py: real TCP over a round trip of 50 ms; of those that a policer dropped from, four."""
    kept = [json.loads(line) for line in (Path(__file__).parent / "flows.jsonl").read_text().splitlines()]
    assert Counter(f["manner"] for f in kept) == {"none": 2, "smooth": 2, "window": 2, "police": 4}
    assert [signature(flow["reads"], flow["line"]).look for flow in kept] == [LOOKS[f["manner"]] for f in kept]

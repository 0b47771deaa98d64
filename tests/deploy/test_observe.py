"""The real Prometheus scrapes real metrics servers; every query of every dashboard is asked, and quantiles compared.

The traffic is made up (deploy/grafana/scenario.py), so that the exact values are known.
"""

import math
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
from private_prometheus import private_prometheus
from questions import boards, fill, questions
from scenario import Lab

from shaper.record.exposition import serve
from shaper.record.metrics import Metrics

PAGE = (Path(__file__).parents[2] / "docs/metrics.md").read_text()
RECIPES = re.findall(r"^```promql\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL)
ALL = [question for board in boards().values() for question in questions(board)]
PHASES = {  # a minute of the lab's day is told in half a second, until Prometheus has seen each phase at work
    "before": 'shaper_phase_active{phase="before"} == 1',
    "slow": "rate(shaper_rate_ratio_count[1m]) > 0",
}


class Observed:
    """What ran: the labs' records, their instances, and the Prometheus that watched, from `start` to `end`."""

    def __init__(self, prometheus, instances, records, start, end):
        self.prometheus, self.instances, self.records = prometheus, instances, records
        self.start, self.end = start, end

    def points(self, question, **choices):
        """Return the numbers that a question gets, NaN left out."""
        expr = fill(question.expr, window="60s", **choices)
        if question.instant:
            series = self.prometheus.now(expr, self.end)
            values = [one["value"][1] for one in series]
        else:
            series = self.prometheus.over(expr, self.start, self.end, 1)
            values = [value for one in series for _, value in one["values"]]
        return [float(value) for value in values if value != "NaN"]


@pytest.fixture(scope="module")
def observed(tmp_path_factory, needs):
    needs("prometheus", "apt-get install prometheus")
    labs = [Lab(Metrics(), seed) for seed in (1, 2)]
    servers = [serve(lab.metrics, "127.0.0.1", 0) for lab in labs]
    instances = ["{}:{}".format(*server.address) for server in servers]
    for lab in labs:
        lab.metrics.calibration(time.time() + 10 * 86_400, "sha256:ab")
    start = time.time()
    folder = tmp_path_factory.mktemp("prometheus")
    with private_prometheus(folder, instances) as prometheus:
        records = []
        for phase, seen in PHASES.items():
            end = time.time() + 4
            while time.time() < end or not prometheus.now(seen, time.time()):
                assert time.time() < end + 60, "prometheus never saw it"
                for lab in labs:
                    records += lab.minute(phase)
                time.sleep(0.5)
        total = f"sum(shaper_responses_total) == {len(records)}"
        rules = "count(shaper:response_duration_seconds:p99_5m > 0)"
        wait_for(lambda: prometheus.now(total, time.time()) and prometheus.now(rules, time.time()))
        yield Observed(prometheus, instances, records, start, time.time())
    for server in servers:
        server.close()


def wait_for(condition, patience=60):
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "prometheus never saw it"
        time.sleep(0.2)


def exact_quantile(q, values):
    return sorted(values)[math.ceil(q * len(values)) - 1]


@pytest.mark.parametrize("question", ALL, ids=lambda q: f"{q.board}: {q.place} {q.ref}")
def test_every_query_of_every_dashboard_returns_points(observed, question):
    assert observed.points(question)


@pytest.mark.parametrize("board", sorted(boards()))
def test_one_chosen_instance_is_shown_alone(observed, board):
    for question in questions(boards()[board]):
        if "$instance" in question.expr:
            assert observed.points(question, instance=observed.instances[0])
            assert not observed.points(question, instance="somebody-else")


def test_a_chosen_arm_and_medium_are_shown_alone(observed):
    seen = observed.prometheus.now(
        fill(
            'count by (arm, media) (shaper_responses_total{media=~"$media",arm=~"$arm"})',
            window="60s",
            arm="control",
            media="image|video",
        ),
        observed.end,
    )
    assert sorted(one["metric"]["media"] for one in seen) == ["image", "video"]
    assert {one["metric"]["arm"] for one in seen} == {"control"}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: re.search(r"shaper_\w+", recipe)[0])
def test_every_recipe_of_the_metrics_page_runs(observed, recipe):
    """Those that ask for trouble (a comparison) may find none."""
    found = observed.prometheus.now(recipe, observed.end)
    assert found or re.search(r"[=>] ?[01]$", recipe.strip()) or "shadow" in recipe


@pytest.mark.parametrize("side", ["client", "origin"])
@pytest.mark.parametrize("media", ["image", "video", "other"])
@pytest.mark.parametrize("q", [0.5, 0.9, 0.99])
def test_a_quantile_read_from_prometheus_is_within_ten_per_cent_of_the_exact_one(observed, q, media, side):
    """Over all records of a medium: 5 ms of text to a minute of video. Run with -s to see each."""
    times = [r.duration if side == "client" else r.origin_duration for r in observed.records if r.media == media]
    buckets = f'sum by (le) (shaper_response_duration_seconds_bucket{{side="{side}",media="{media}"}})'
    (answer,) = observed.prometheus.now(f"histogram_quantile({q}, {buckets})", observed.end)
    read, exact = float(answer["value"][1]), exact_quantile(q, times)
    print(f"\n{side} {media} p{q * 100:.0f}: exact {exact:.4f} s, read {read:.4f} s, {read / exact - 1:+.1%}")
    assert abs(read / exact - 1) < 0.1


def test_exemplars_lead_from_buckets_to_records(observed):
    found = observed.prometheus.ask(
        "query_exemplars",
        query="shaper_response_duration_seconds_bucket",
        start=observed.start,
        end=observed.end,
    )
    ids = {exemplar["labels"]["record"] for series in found for exemplar in series["exemplars"]}
    assert ids
    assert ids <= {record.id for record in observed.records}


def test_a_phase_and_a_policy_are_regions_and_a_reload_is_a_moment(observed):
    asked = {q.place: q for q in questions(boards()["shaper-study"]) if q.place.startswith("annotation")}
    assert set(asked) == {"annotation Policy", "annotation Phase", "annotation Reload"}
    assert set(observed.points(asked["annotation Policy"])) == {1.0}
    reloads = observed.points(asked["annotation Reload"])
    assert all(abs(moment / 1000 - observed.start) < 60 for moment in reloads)
    phases = observed.prometheus.over(
        fill(asked["annotation Phase"].expr, window="60s"), observed.start, observed.end, 1
    )
    assert {one["metric"]["phase"] for one in phases} == {"before", "slow"}


def test_without_any_proxy_every_query_is_answered_with_nothing(tmp_path, needs):
    needs("prometheus", "apt-get install prometheus")
    with private_prometheus(tmp_path) as prometheus:
        empty = Observed(prometheus, [], [], time.time() - 60, time.time())
        assert [question for question in ALL if empty.points(question)] == []


def test_the_number_of_series_does_not_grow_with_people_pages_and_hosts():
    """A record has no field for a host or URL; all that it could tell of them varies here, a hundred thousand times."""
    lab = Lab(Metrics(), 1)
    records = [record for _ in range(20) for record in lab.minute("slow")]

    def series():
        return sum(len(family.samples) for family in lab.metrics.registry.collect())

    before = series()
    short = replace(records[0], origin_ttfb=None, client_ttfb=None, origin_duration=None)
    for n in range(100_000):
        lab.metrics.record(replace(short, id=f"{n:x}", client=f"client-{n}", target=f"target-{n}", status=n, size=n))
    assert series() == before < 10_000

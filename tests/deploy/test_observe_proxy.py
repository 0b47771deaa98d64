"""The real Prometheus scrapes two real proxies, one an arm, under real traffic: the dashboards show it.

Quantiles and rates read from Prometheus are held against the proxies' own journals, which are exact.
"""

import asyncio
import math
import time
from pathlib import Path

import pytest
import pytest_asyncio
from private_prometheus import private_prometheus
from questions import Prometheus, boards, fill, questions

from shaper.cli.proxy_process import ProxyProcess
from shaper.lab.origin import Origin
from shaper.measure.probe import fetch
from shaper.record.journal import read

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAME, WHOLE = "pictures.media.test", "whole.test"
POLICY = """
version: 1
study: observed
targets: {media: {hosts: ["*.media.test"]}, whole: {hosts: [whole.test]}}
arms: {control: 1, treatment: 1}
phases:
  - {name: before, start: 2020-01-01T00:00:00Z, end: 2021-01-01T00:00:00Z}
  - {name: slow, start: 2021-01-01T00:00:00Z}
rules:
  - {name: photos, target: media, media: [image], arms: [treatment], caps: [{rate: 800 kbit/s}]}
  - {name: clips, target: media, media: [video], arms: [treatment], caps: [{rate: 2 Mbit/s}]}
  - {name: tunnel, target: whole, level: connection, direction: both, caps: [{scope: connection, rate: 2 Mbit/s}]}
"""
PAGE = [
    "/bytes?size=20000&type=text/html",
    "/bytes?size=9000&type=text/javascript",
    *(f"/bytes?size={size}&type=image/jpeg" for size in (20_000, 45_000, 80_000)),
    "/bytes?size=250000&type=video/mp4",
]
# What a proxy alone does not say: volunteers and calibration are told by the commands that know of them.
SILENT = {"shaper-volunteers"}


async def load_pages(proxy: ProxyProcess, origin: Origin, seconds: float) -> None:
    """Load pages, over h1 and h2 in turn, and a file through a tunnel; leave one image half way."""
    end, protocol, pages = time.monotonic() + seconds, "h1", 0
    ask = {"proxy": proxy.address, "ca": proxy.ca_pem}
    while time.monotonic() < end or pages < 4:
        urls = [f"https://{NAME}{path}" for path in PAGE]
        await asyncio.gather(*(fetch(url, protocol=protocol, **ask) for url in urls))
        await fetch(f"https://{WHOLE}{PAGE[0]}", proxy=proxy.address, ca=origin.ca_pem)
        protocol, pages = "h2" if protocol == "h1" else "h1", pages + 1
    await fetch(f"https://{NAME}/bytes?size=5000000&type=image/png", timeout=0.5, **ask)


async def until_scraped(prometheus: Prometheus, journals: dict[str, Path]) -> None:
    """Wait until Prometheus has seen what the journals hold."""
    deadline = time.monotonic() + 60
    while True:
        lines = sum(record.level == "media" for path in journals.values() for record in read(path))
        if prometheus.now(f"sum(shaper_responses_total) == {lines}", time.time()):
            return
        assert time.monotonic() < deadline, "prometheus never saw it"
        await asyncio.sleep(0.3)


class Seen:
    def __init__(self, prometheus, journals, start, end):
        self.prometheus, self.start, self.end = prometheus, start, end
        self.records = {arm: list(read(path)) for arm, path in journals.items()}

    def points(self, question):
        expr = fill(question.expr, window="60s")
        if question.instant:
            values = [one["value"][1] for one in self.prometheus.now(expr, self.end)]
        else:
            found = self.prometheus.over(expr, self.start, self.end, 1)
            values = [value for one in found for _, value in one["values"]]
        return [value for value in values if value != "NaN"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def seen(tmp_path_factory, needs):
    needs("prometheus", "apt-get install prometheus")
    folder = tmp_path_factory.mktemp("observed")
    (folder / "lab.yaml").write_text(POLICY)
    journals = {arm: folder / f"{arm}.jsonl" for arm in ("control", "treatment")}
    with Origin([NAME, WHOLE]) as origin:
        proxies = [
            ProxyProcess(
                folder / "lab.yaml",
                [
                    *("--ca-dir", str(folder / arm), "--arm", arm, "--journal", str(journal)),
                    *("--connect-to", f"{NAME}:443:127.0.0.1:{origin.port}", "--origin-ca", str(origin.ca_pem)),
                    *("--connect-to", f"{WHOLE}:443:127.0.0.1:{origin.port}"),
                ],
            )
            for arm, journal in journals.items()
        ]
        async with proxies[0] as control, proxies[1] as treatment:
            targets = [proxy.metrics_url.split("/")[2] for proxy in (control, treatment)]
            start = time.time()
            with private_prometheus(folder, targets) as prometheus:
                await asyncio.gather(load_pages(control, origin, 8), load_pages(treatment, origin, 8))
                await until_scraped(prometheus, journals)
                await asyncio.sleep(3)  # so that what came last has its two points as well
                yield Seen(prometheus, journals, start, time.time())


PANELS = [question for uid, board in boards().items() if uid not in SILENT for question in questions(board)]


@pytest.mark.parametrize("question", PANELS, ids=lambda q: f"{q.board}: {q.place} {q.ref}")
async def test_every_query_about_a_proxy_returns_points(seen, question):
    assert seen.points(question)


async def test_the_slowed_arm_is_slow_and_the_other_is_not(seen):
    buckets = 'shaper_response_duration_seconds_bucket{side="client",media="image"}'
    found = seen.prometheus.now(f"histogram_quantile(0.5, sum by (arm, le) ({buckets}))", seen.end)
    by_arm = {one["metric"]["arm"]: float(one["value"][1]) for one in found}
    assert by_arm["treatment"] > 0.15
    assert by_arm["control"] < by_arm["treatment"]


@pytest.mark.parametrize("arm", ["control", "treatment"])
@pytest.mark.parametrize("media", ["image", "video", "other"])
@pytest.mark.parametrize("q", [0.5, 0.9, 0.99])
async def test_a_quantile_is_within_ten_per_cent_of_the_journals(seen, q, media, arm):
    """Run with -s to see each."""
    times = sorted(record.duration for record in seen.records[arm] if record.media == media and record.level == "media")
    exact = times[math.ceil(q * len(times)) - 1]
    buckets = f'shaper_response_duration_seconds_bucket{{side="client",media="{media}",arm="{arm}"}}'
    (answer,) = seen.prometheus.now(f"histogram_quantile({q}, sum by (le) ({buckets}))", seen.end)
    read_off = float(answer["value"][1])
    error = read_off / exact - 1
    print(f"\n{arm} {media} p{q * 100:.0f} of {len(times)}: exact {exact:.4f} s, read {read_off:.4f} s, {error:+.1%}")
    assert abs(error) < 0.1


async def test_metrics_and_journal_count_the_same_responses(seen):
    (answer,) = seen.prometheus.now("sum(shaper_responses_total)", seen.end)
    responses = [record for records in seen.records.values() for record in records if record.level == "media"]
    assert float(answer["value"][1]) == len(responses) > 0

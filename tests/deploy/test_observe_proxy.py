"""The real Prometheus scrapes real proxies, one an arm and one with volunteers: every dashboard's queries get points.

Quantiles and rates read from Prometheus are held against the proxies' own journals, which are exact.
"""

import asyncio
import json
import math
import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.request import urlopen

import pytest
import pytest_asyncio
from private_prometheus import private_prometheus
from prometheus_client.parser import text_string_to_metric_families as parse
from questions import Prometheus, boards, fill, questions

from shaper.cli.proxy_process import ProxyProcess
from shaper.lab.origin import Origin
from shaper.measure.probe import fetch
from shaper.record.journal import read
from tests.running_study import RunningStudy, running_study

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = Path(__file__).parents[2]
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
SHADOW = """
version: 1
study: harsher
targets: {media: {hosts: ["*.media.test"]}}
rules:
  - {name: photos, target: media, media: [image], caps: [{rate: 100 kbit/s}]}
"""
PAGE = [
    "/bytes?size=20000&type=text/html",
    "/bytes?size=9000&type=text/javascript",
    *(f"/bytes?size={size}&type=image/jpeg" for size in (20_000, 45_000, 80_000)),
    "/bytes?size=250000&type=video/mp4",
]
PHOTO = f"https://{NAME}{PAGE[2]}"
PAGE_OF_METRICS = (ROOT / "docs/metrics.md").read_text()
RECIPES = re.findall(r"^```promql\n(.*?)```", PAGE_OF_METRICS, re.MULTILINE | re.DOTALL)
EXEMPLARS = {  # histogram: the journal's field that it observes
    'shaper_response_duration_seconds_bucket{side="client"}': "duration",
    'shaper_response_duration_seconds_bucket{side="origin"}': "origin_duration",
    'shaper_response_ttfb_seconds_bucket{side="client"}': "client_ttfb",
    'shaper_response_ttfb_seconds_bucket{side="origin"}': "origin_ttfb",
    "shaper_held_seconds_bucket": "held",
    "shaper_rate_ratio_bucket": "rate_ratio",
}


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


def take_part(study: RunningStudy, origin: Origin) -> None:
    """One person consents and loads a photo, one loads it without having consented, and one guesses a password."""
    consented, invited = study.join().token, study.invite().partition("/join/")[2]
    ask = ["curl", "-s", "-o", "/dev/null", "--max-time", "20", "-x", study.proxy, "-U"]
    for token, ca, code in ((consented, study.ca_pem, 0), (invited, origin.ca_pem, 0), ("no-body", study.ca_pem, 56)):
        login = token.replace("-", ":")
        assert subprocess.run([*ask, login, "--cacert", ca, PHOTO], check=False).returncode == code


def read_url(url: str) -> str:
    with urlopen(url, timeout=30) as answer:
        return answer.read().decode()


async def until_scraped(prometheus: Prometheus, journals: Sequence[Path]) -> None:
    """Wait until Prometheus has seen what the journals hold."""
    deadline = time.monotonic() + 60
    while True:
        lines = sum(record.level == "media" for path in journals for record in read(path))
        if prometheus.now(f"sum(shaper_responses_total) == {lines}", time.time()):
            return
        assert time.monotonic() < deadline, "prometheus never saw it"
        await asyncio.sleep(0.3)


class Seen:
    def __init__(self, prometheus, journals, exposed, start, end):
        self.prometheus, self.journals, self.exposed, self.start, self.end = prometheus, journals, exposed, start, end
        self.records = [record for path in journals for record in read(path) if record.level == "media"]

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
    needs("curl", "apt-get install curl")
    folder = tmp_path_factory.mktemp("observed")
    (folder / "lab.yaml").write_text(POLICY)
    (folder / "shadow.yaml").write_text(SHADOW)
    with Origin([NAME, WHOLE]) as origin:
        route = [
            *("--connect-to", f"{NAME}:443:127.0.0.1:{origin.port}", "--origin-ca", str(origin.ca_pem)),
            *("--connect-to", f"{WHOLE}:443:127.0.0.1:{origin.port}"),
        ]
        journals = [folder / "control.jsonl", folder / "treatment.jsonl"]
        arms = [
            ProxyProcess(
                folder / "lab.yaml",
                ["--ca-dir", str(folder / path.stem), "--arm", path.stem, "--journal", str(path), *more, *route],
            )
            for path, more in zip(journals, (["--shadow", str(folder / "shadow.yaml")], []), strict=True)
        ]
        (folder / "people").mkdir()
        async with arms[0] as control, arms[1] as treatment:
            with running_study(folder / "people", POLICY, *route) as study:
                journals.append(study.journal)
                urls = [control.metrics_url, treatment.metrics_url, study.said["metrics"]]
                start = time.time()
                with private_prometheus(folder, [url.split("/")[2] for url in urls]) as prometheus:
                    await asyncio.gather(
                        load_pages(control, origin, 8),
                        load_pages(treatment, origin, 8),
                        asyncio.to_thread(take_part, study, origin),
                    )
                    await until_scraped(prometheus, journals)
                    await asyncio.sleep(3)  # so that what came last has its two points as well
                    exposed = [await asyncio.to_thread(read_url, url) for url in urls]
                    yield Seen(prometheus, journals, exposed, start, time.time())


ALL = [question for board in boards().values() for question in questions(board)]


@pytest.mark.parametrize("question", ALL, ids=lambda q: f"{q.board}: {q.place} {q.ref}")
async def test_every_query_returns_points(seen, question):
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
    times = sorted(record.duration for record in seen.records if (record.media, record.arm) == (media, arm))
    exact = times[math.ceil(q * len(times)) - 1]
    buckets = f'shaper_response_duration_seconds_bucket{{side="client",media="{media}",arm="{arm}"}}'
    (answer,) = seen.prometheus.now(f"histogram_quantile({q}, sum by (le) ({buckets}))", seen.end)
    read_off = float(answer["value"][1])
    error = read_off / exact - 1
    print(f"\n{arm} {media} p{q * 100:.0f} of {len(times)}: exact {exact:.4f} s, read {read_off:.4f} s, {error:+.1%}")
    assert abs(error) < 0.1


async def test_metrics_and_journal_count_the_same_responses(seen):
    (answer,) = seen.prometheus.now("sum(shaper_responses_total)", seen.end)
    assert float(answer["value"][1]) == len(seen.records) > 0


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: re.search(r"shaper_\w+", recipe)[0])
async def test_every_recipe_of_the_metrics_page_returns_points(seen, recipe):
    """But those that ask for trouble, or for a certificate, which only the proxies of test_observe.py have."""
    found = [one["value"][1] for one in seen.prometheus.now(recipe, seen.end)]
    excused = re.search(r"(== 0|> 0|shaper_calibration_info)$", recipe.strip())
    assert excused or any(value != "NaN" for value in found)


@pytest.mark.parametrize(("buckets", "field"), EXEMPLARS.items())
async def test_an_exemplar_leads_from_a_bucket_to_the_line_of_the_journal_that_it_counted(seen, buckets, field):
    """By its id, as docs/dashboards.md says to look for it."""
    lines = [line for path in seen.journals for line in path.read_text().splitlines()]
    found = seen.prometheus.ask("query_exemplars", query=buckets, start=seen.start, end=seen.end)
    exemplars = [exemplar for series in found for exemplar in series["exemplars"]]
    assert exemplars
    for exemplar in exemplars:
        (line,) = [line for line in lines if f'"id":"{exemplar["labels"]["record"]}"' in line]
        assert json.loads(line)[field] == pytest.approx(float(exemplar["value"]), abs=1e-5)


async def test_promtool_has_nothing_to_say_about_what_the_proxies_expose(seen, needs):
    command = [needs("promtool", "apt-get install prometheus"), "check", "metrics"]
    for text in seen.exposed:
        done = await asyncio.to_thread(subprocess.run, command, input=text, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


async def test_each_metric_that_a_proxy_exposes_has_an_entry_on_the_page(seen):
    entries = set(re.findall(r"^(?:### |\| )`(\w+)", PAGE_OF_METRICS, re.MULTILINE))
    names = {family.name + "_total" * (family.type == "counter") for text in seen.exposed for family in parse(text)}
    assert len(names) > 30
    assert names <= entries

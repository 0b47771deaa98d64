"""`shaper measure` with real proxies, origins and clients: samples survive whatever happens to the run."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from time import monotonic, sleep

import pytest
from click.testing import CliRunner

from shaper.cli.main import main
from shaper.cli.measuring import Measurement
from shaper.measure.run import Outcome, Run, Truth
from shaper.record.journal import parse

POLICY = """
version: 1
study: measured
targets: {photos: {hosts: ["a.test"]}}
rules: [{name: slow, target: photos, media: [image], caps: [{rate: 400 kbit/s, burst: 2 KiB}]}]
"""
PLAN = """
version: 1
name: pilot
blocks: BLOCKS
washout: 10 ms
timeout: TIMEOUT
arms:
  - {name: direct}
  - {name: slow, policy: slow.yaml}
reference: direct
probes: PROBES
objects:
  - {name: photo, url: "https://a.test/bytes?size=12000&type=image/jpeg", media: image}
"""
MORE = """
  - {name: script, url: "https://a.test/page.js", media: other}
  - {name: elsewhere, url: "https://b.test/photos/leaves.svg", media: image}
  - {name: upload, url: "https://a.test/upload", media: upload, size: 9 kB}
"""


@pytest.fixture
def plan(tmp_path):
    def plan(*, blocks=1, timeout="60 s", probes="[{name: h1, kind: h1}]", more=""):
        (tmp_path / "slow.yaml").write_text(POLICY)
        text = PLAN.replace("BLOCKS", str(blocks)).replace("TIMEOUT", timeout).replace("PROBES", probes)
        (tmp_path / "plan.yaml").write_text(text + more)
        return tmp_path / "plan.yaml"

    return plan


def samples(run):
    return list(Run.open(run).samples())


def is_whole(run, measurement):
    """Check that a run has every sample of its plan once, and every record of its journals belongs to one."""
    found = samples(run)
    assert Counter(sample.id for sample in found) == Counter(step.id for step in measurement.steps)
    assert [sample.id for sample in found] == [step.id for step in measurement.steps]
    assert all(sample.outcome is Outcome.COMPLETE and sample.intact for sample in found)
    for arm, own in by_arm(found).items():
        journal = run / f"journal-{arm}.jsonl"
        records = [parse(line) for line in journal.read_bytes().splitlines()] if journal.exists() else []
        assert len(records) == sum(sample.records for sample in own)
        assert len({record.id for record in records}) == len(records)
    assert Run.open(run).conditions.ended


def by_arm(found):
    arms = defaultdict(list)
    for sample in found:
        arms[sample.arm].append(sample)
    return arms


def test_every_sample_knows_its_record_and_the_truth(plan, tmp_path):
    both = "[{name: h1, kind: h1}, {name: h2, kind: h2}]"
    measurement = Measurement(plan(probes=both, more=MORE), tmp_path / "run")
    assert asyncio.run(measurement.run())
    is_whole(tmp_path / "run", measurement)
    records = {
        record.id: record for record in map(parse, (tmp_path / "run/journal-slow.jsonl").read_bytes().splitlines())
    }
    slow = Truth(manner="smooth", rate=400e3, burst=2048, scope="response")
    none = Truth(manner="none")
    truths = {"photo": slow, "script": none, "elsewhere": none, "upload": None}
    for sample in samples(tmp_path / "run"):
        assert sample.protocol == sample.probe
        assert sum(read.num_bytes for read in sample.reads) == sample.received
        if sample.arm == "direct":
            assert (sample.transfer, sample.records) == (None, 0)
            assert sample.truth == (None if sample.object == "upload" else none)
            continue
        assert sample.truth == truths[sample.object]
        if sample.object == "elsewhere":
            assert (sample.transfer, sample.records) == (None, 0)  # tunnelled: nothing is recorded
        else:
            record = records[sample.transfer]
            assert record.client_protocol == sample.probe
            assert record.direction == ("up" if sample.object == "upload" else "down")
            assert record.size == (9000 if sample.object == "upload" else sample.received)
    assert min(each.duration for each in by_arm(samples(tmp_path / "run"))["slow"] if each.object == "photo") > 0.15


def test_a_timeout_is_kept_as_censored_and_the_run_goes_on(plan, tmp_path):
    stalls = (
        '  - {name: stalls, url: "https://a.test/bytes?size=9000&type=image/jpeg&stall_after=1000", media: image}\n'
    )
    assert asyncio.run(Measurement(plan(timeout="1500 ms", more=stalls), tmp_path / "run").run())
    found = samples(tmp_path / "run")
    late = [sample for sample in found if sample.object == "stalls"]
    assert len(found) == 4
    assert {sample.outcome for sample in late} == {Outcome.TIMEOUT}
    assert all(sample.received == 1000 and sample.expected == 9000 and sample.duration >= 1.4 for sample in late)
    assert {sample.outcome for sample in found if sample.object == "photo"} == {Outcome.COMPLETE}
    (shaped,) = [sample for sample in late if sample.arm == "slow"]
    assert shaped.truth.manner == "smooth"


class Process:
    """`shaper measure` as people start it: in a process group of its own, as a terminal does."""

    def __init__(self, plan, run):
        self.run, self.log = run, run.parent / "measure.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "shaper", "measure", str(plan), "-o", str(run)],
                stdout=log, stderr=log, start_new_session=True, env=os.environ | {"TMPDIR": str(run.parent)},
            )  # fmt: skip

    @property
    def taken(self):
        file = self.run / "samples.jsonl"
        return file.read_bytes().count(b"\n") if file.exists() else 0

    def wait_for(self, count):
        end = monotonic() + 60
        while self.taken < count and self.process.poll() is None and monotonic() < end:
            sleep(0.01)
        assert self.taken >= count, self.log.read_text()

    def children(self):
        tasks = Path(f"/proc/{self.process.pid}/task")
        return [int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()]

    def end(self):
        return self.process.wait(60)


def ended(pid):
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


def test_ctrl_c_ends_after_a_whole_sample_and_the_same_command_goes_on(plan, tmp_path):
    path, run = plan(blocks=6), tmp_path / "run"
    process = Process(path, run)
    process.wait_for(2)
    os.killpg(process.process.pid, signal.SIGINT)
    assert process.end() == 1
    assert "interrupted; the same command goes on" in process.log.read_text()
    before = (run / "samples.jsonl").read_bytes()
    assert before.endswith(b"\n")
    assert 2 <= before.count(b"\n") < 12
    assert all(sample.outcome is Outcome.COMPLETE for sample in samples(run))
    assert Run.open(run).conditions.ended is None
    assert Process(path, run).end() == 0
    assert (run / "samples.jsonl").read_bytes().startswith(before)
    is_whole(run, Measurement(path, run))
    after = (run / "samples.jsonl").read_bytes()
    assert asyncio.run(Measurement(path, run).run())  # complete: nothing is left to do
    assert (run / "samples.jsonl").read_bytes() == after


def test_killed_at_any_moment_a_run_goes_on_with_nothing_lost_or_counted_twice(plan, tmp_path):
    path, run = plan(blocks=5), tmp_path / "run"
    for kill in range(2):
        process = Process(path, run)
        process.wait_for(1 + 4 * kill)
        sleep(random.uniform(0, 0.6))
        children = process.children()
        assert children
        os.kill(process.process.pid, signal.SIGKILL)
        process.end()
        kept = (run / "samples.jsonl").read_bytes()
        deadline = monotonic() + 30
        while not all(map(ended, children)) and monotonic() < deadline:
            sleep(0.05)
        assert all(map(ended, children))  # no proxy outlives who started it
    assert Process(path, run).end() == 0
    assert (run / "samples.jsonl").read_bytes().startswith(kept[: kept.rfind(b"\n") + 1])
    is_whole(run, Measurement(path, run))


def test_a_proxy_that_dies_ends_the_run_and_spoils_no_sample(plan, tmp_path):
    path, run = plan(blocks=6), tmp_path / "run"
    process = Process(path, run)
    process.wait_for(1)
    (proxy,) = process.children()
    os.kill(proxy, signal.SIGKILL)
    assert process.end() == 1
    assert "arm slow: its proxy died" in process.log.read_text().splitlines()[-1]
    assert all(sample.outcome is Outcome.COMPLETE for sample in samples(run))


def refusal(*arguments):
    result = CliRunner().invoke(main, ["measure", *map(str, arguments)])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    return result.output.strip().splitlines()[-1]


def test_what_cannot_be_measured_is_said_in_one_line(plan, tmp_path):
    path = plan()
    assert "reference" in refusal(_changed(path, "reference: direct", "reference: drect"))
    assert 'arm "slow": there is no policy "none"' in refusal(_changed(path, "slow.yaml", "none"))
    assert f"{tmp_path / 'absent.yaml'}: cannot be read" in refusal(tmp_path / "absent.yaml")
    assert "absent.json: the certificate cannot be read" in refusal(path, "--certificate", tmp_path / "absent.json")
    assert "the proxy did not start" in refusal(path, "--require-calibration", "-o", tmp_path / "uncertified")
    arms = POLICY.replace("rules:", "arms: {a: 1, b: 1}\nrules:")
    (tmp_path / "slow.yaml").write_text(arms)
    assert "arms of its own" in refusal(path)


def test_a_run_of_another_plan_is_not_gone_on_with(plan, tmp_path):
    path, run = plan(), tmp_path / "run"
    run.mkdir()
    assert asyncio.run(Measurement(path, run).run())
    before = (run / "samples.jsonl").read_bytes()
    assert f"{run / 'run.json'}: this run was begun with another plan" in refusal(
        _changed(path, "name: pilot", "name: pilot\nseed: 7"), "-o", run
    )
    (tmp_path / "slow.yaml").write_text(POLICY.replace("400", "300"))
    assert "begun with other policies or another certificate" in refusal(path, "-o", run)
    assert (run / "samples.jsonl").read_bytes() == before
    assert json.loads((run / "run.json").read_text())["ended"]


def _changed(path, old, new):
    text = path.read_text()
    assert old in text
    (changed := path.with_name("changed.yaml")).write_text(text.replace(old, new))
    return changed

"""What a proxy says when it is up is what it does, now and here."""

import pytest

from shaper.cli.greeting import greeting
from shaper.cli.run import run
from shaper.cli.running import Run
from shaper.record.metrics import Metrics

POLICY = """
version: 1
study: greeting
targets: {media: {hosts: ["*.media.test"]}}
arms: {slow: 1, control: 1}
phases: [{name: march, start: 2021-03-01T00:00Z, end: 2021-04-01T00:00Z}]
rules:
  - {name: old, target: media, media: [image], phases: [march], caps: [{rate: 150 kbit/s}]}
  - {name: abroad, target: media, level: connection, access: [mobile], caps: [{scope: connection, rate: 1 Mbit/s}]}
  - {name: mine, target: media, media: [image, video], arms: [slow], caps: [{rate: 16 kB/s, burst: 2 KiB}]}
  - {name: control, target: media, media: [image]}
"""


@pytest.fixture
def says(tmp_path):
    """Start a proxy with these options and return what it says, by label."""

    async def says(*options, text=POLICY):
        path = tmp_path / "policy.yaml"
        path.write_text(text)
        free = ["--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--ca-dir", str(tmp_path / "ca")]
        running = Run.prepare(**run.make_context("run", ["--policy", str(path), *free, *options]).params)
        proxy = running._proxy(Metrics(), None, None)
        await proxy.start()
        said = {}
        for label, line in greeting(running, proxy, "http://127.0.0.1:1/metrics"):
            said.setdefault(label, []).append(line)
        await proxy.stop()
        return said

    return says


async def test_rules_that_slow_nobody_now_are_told_with_the_reason(says):
    said = await says()
    assert said["idle"] == [
        "old is for phase march; in force: none",
        "abroad is for mobile access; this client's is unknown",
        "mine is for arm slow; this client's is none",
    ]
    assert said["slowed"] == ["control: image: nothing: a control"]


async def test_the_options_of_a_run_wake_them(says):
    said = await says("--at", "2021-03-12T09:00Z", "--access", "mobile", "--arm", "slow")
    assert said["slowed"] == [
        "old: image: 150 kbit/s for each response, burst 2 KiB, delayed smoothly",
        "abroad: whole connections: 1 Mbit/s for each connection, burst 2 KiB, delayed smoothly",
        "mine: image, video: 128 kbit/s for each response, burst 2 KiB, delayed smoothly",
        "control: image: nothing: a control",
    ]
    assert "idle" not in said
    assert said["time"] == ["2021-03-12T09:00:00Z, and stays so"]


async def test_a_replay_says_when_it_begins_and_how_fast_it_is(says):
    said = await says("--at", "2021-03-12T12:00+03:00", "--speed", "10000")
    assert said["time"] == ["2021-03-12T09:00:00Z, 10000 times as fast as the clock"]


async def test_a_shadow_is_not_said_to_slow(says):
    said = await says("--arm", "slow", text=POLICY.replace("study:", "mode: shadow\nstudy:"))
    assert said["study"][0].endswith(", shadow")
    assert [line.partition(":")[0] for line in said["computed"]] == ["mine", "control"]
    assert "slowed" not in said


async def test_it_says_where_everything_is(says, tmp_path):
    said = await says("--journal", "lines.jsonl")
    assert said["targeted"] == ["*.media.test"]
    assert said["proxy"][0].startswith("127.0.0.1:")
    assert (said["CA"], said["journal"]) == ([str(tmp_path / "ca" / "shaper-ca.pem")], ["lines.jsonl"])
    assert said["metrics"] == ["http://127.0.0.1:1/metrics"]

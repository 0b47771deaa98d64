"""What happens around a proxy while it runs: reloads, clocks, an old CA, a full disk, no descriptors left."""

import asyncio
import gc
import resource
import time
import weakref
from datetime import timedelta

import pytest

from shaper.lab.payload import Stream, digest
from shaper.measure.run import Outcome
from shaper.policy.load import loads
from shaper.proxy.clock import wall
from shaper.record import journal
from tests.e2e.conftest import origins, until  # noqa: F401, a fixture
from tests.e2e.test_process import Running
from tests.robust.conftest import POLICY
from tests.robust.test_hello import issuer

pytestmark = pytest.mark.asyncio(loop_scope="module")

IMAGE = "/bytes?size=60000&type=image/png"


@pytest.fixture
def restored(lab):
    before = lab.proxy.shaping.policy
    yield lambda: lab.proxy.swap(before)
    lab.proxy.swap(before)


async def test_a_thousand_reloads_under_load_change_nothing_for_what_is_under_way_and_leave_nothing(
    lab, bystander, restored
):
    await lab.fetch("/bytes?size=9000&type=image/png", "h2", "both.media.test", "https")  # its series are there now
    assert await until(lambda: not lab.slowed)
    kept, series = [], _series(lab)
    fetching = [asyncio.create_task(lab.fetch(IMAGE, "h2", "both.media.test", "https")) for _ in range(4)]
    assert await until(lambda: len([size for size in lab.slowed if size > 2048]) == 4)
    for number in range(1000):
        policy = loads(POLICY.replace("400 kbit/s", f"{number + 100} Mbit/s"), "lab.yaml")
        kept.append(weakref.ref(policy))
        lab.proxy.swap(policy)
        if number % 10 == 0:
            await asyncio.sleep(0)
    for got in await asyncio.gather(*fetching):
        assert (got.outcome, got.sha256) == (Outcome.COMPLETE, digest(Stream(60_000)))
        assert got.duration > (60_000 - 2048) / 50_000 - 0.1
    restored()
    del policy
    gc.collect()
    assert len([policy for policy in kept if policy()]) <= 1
    assert _series(lab) <= series + 10


@pytest.mark.parametrize("hours", [-48, 48])
async def test_a_jump_of_the_clock_moves_no_byte(lab, bystander, monkeypatch, hours):
    got = asyncio.create_task(lab.fetch(IMAGE, "h1", "both.media.test", "https"))
    assert await until(lambda: max(lab.slowed, default=0) > 4000)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + hours * 3600)
    for module in ("shaping", "admitting"):
        monkeypatch.setattr(f"shaper.proxy.{module}.wall", lambda: wall() + timedelta(hours=hours))
    fetched = await got
    assert (fetched.outcome, fetched.sha256) == (Outcome.COMPLETE, digest(Stream(60_000)))
    assert fetched.duration == pytest.approx((60_000 - 2048) / 50_000, abs=1)
    assert (await lab.fetch("/bytes?size=9&type=text/css", "h2", "both.media.test", "https")).size == 9
    assert all(record.duration < 100 for record in lab.records)


async def test_an_expired_ca_signs_nothing_more_and_is_told_once(lab, monkeypatch, caplog):
    authority = lab.proxy.authority
    monkeypatch.setattr("shaper.proxy.admitting.wall", lambda: wall() + timedelta(days=91))
    assert authority.not_after < wall() + timedelta(days=91)
    for _ in range(3):
        assert await issuer(lab, "both.media.test", 100) == "Shaper lab origin CA"
    assert len([record for record in caplog.records if "expired" in record.getMessage()]) == 1


@pytest.fixture
def start(origins, tmp_path):  # noqa: F811
    running = Running(tmp_path, origins)
    yield running
    running.stop()


def _limit(running, what, most):
    """Change a limit of the running process; return how it was."""
    return resource.prlimit(running.process.pid, what, (most, resource.prlimit(running.process.pid, what)[1]))


async def test_a_full_disk_stops_the_journal_and_nothing_else(start):
    for _ in range(3):
        assert (await start.fetch()).size == 20_000
    assert await until(lambda: len(start.journal.read_text().splitlines()) == 3)
    before = _limit(start, resource.RLIMIT_FSIZE, start.journal.stat().st_size + 100)
    for _ in range(10):
        assert (await start.fetch("/bytes?size=500&type=image/png")).size == 500
    assert await until(lambda: "cannot be written" in start.errors)
    assert start.errors.count("\n") == 1, start.errors
    resource.prlimit(start.process.pid, resource.RLIMIT_FSIZE, before)
    assert await until(lambda: len(start.journal.read_text().splitlines()) == 13)
    assert [record.size for record in journal.read(start.journal)] == [20_000] * 3 + [500] * 10


async def test_when_no_descriptor_is_left_what_is_open_goes_on_and_others_come_later(start):
    slow = asyncio.create_task(start.fetch("/bytes?size=90000&type=image/png"))
    await asyncio.sleep(0.5)
    before = _limit(start, resource.RLIMIT_NOFILE, 60)
    crowd = []
    for _ in range(100):
        crowd.append(await asyncio.open_connection(*start.address))
    await asyncio.sleep(1)
    assert not slow.done()
    for _, writer in crowd:
        writer.transport.abort()
    got = await slow
    assert (got.outcome, got.sha256) == (Outcome.COMPLETE, digest(Stream(90_000)))
    resource.prlimit(start.process.pid, resource.RLIMIT_NOFILE, before)
    assert (await start.fetch("/bytes?size=500&type=image/png")).size == 500
    assert start.errors.count("\n") < 4, start.errors


def _series(lab) -> int:
    return sum(len(family.samples) for family in lab.proxy.metrics.registry.collect())

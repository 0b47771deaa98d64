"""Who pauses, stops, deletes, expires or has had enough is let go at once, on connections that are open as well."""

import asyncio
import time
from types import SimpleNamespace

import pytest
import pytest_asyncio

from shaper.lab.origin import Origin
from shaper.lab.payload import Stream, digest
from shaper.measure.probe import connect
from shaper.onboarding.budget import DAY, HOUR, Terms
from shaper.onboarding.roster import open_roster
from shaper.policy.load import loads
from shaper.proxy import parting
from shaper.proxy.server import ConnectTo, Proxy, Settings
from shaper.record.metrics import Metrics
from tests.e2e.conftest import Records, until

POLICY = """
version: 1
study: parting
targets: {media: {hosts: [media.test]}, whole: {hosts: [whole.test]}}
rules:
  - {name: slow, target: media, media: [image], direction: both, caps: [{rate: 80 kbit/s}]}
  - {name: late, target: media, media: [video], latency: {mean: 100 s}}
  - {name: frozen, target: media, media: [audio], freeze_after: 4 KiB}
  - {name: tunnel, target: whole, level: connection, direction: both, caps: [{scope: connection, rate: 80 kbit/s}]}
"""
NAMES = ["media.test", "whole.test"]
SIZE = 300_000  # 30 s at the cap
PATIENCE = 10.0  # seconds; a transfer that is not let go takes three times as long
TERMS = Terms(consent=30 * DAY, bytes_a_day=100_000, session=4 * HOUR, rest=HOUR)
LEAVES = ["pause", "stop", "delete"]


@pytest.fixture(autouse=True)
def looks_often(monkeypatch):
    monkeypatch.setattr(parting, "LOOK_EVERY", 0.05)


@pytest.fixture(scope="module")
def origin():
    with Origin(NAMES) as origin:
        yield origin


@pytest_asyncio.fixture
async def study(tmp_path, origin):
    """A volunteer who takes part, before a proxy; `later` moves the roster's clock."""
    ahead = [0.0]
    roster = open_roster(tmp_path / "v.sqlite", "parting", terms=TERMS, now=lambda: time.time() + ahead[0])
    records, metrics = Records(), Metrics()
    routes = tuple(ConnectTo(name, 443, "127.0.0.1", origin.port) for name in NAMES)
    settings = Settings(ca_dir=tmp_path / "ca", connect_to=routes, origin_ca=origin.ca_pem, require_auth=True)
    proxy = Proxy(loads(POLICY, "policy"), settings, [records, roster], metrics, registry=roster)
    await proxy.start()
    me, credential = await asyncio.to_thread(roster.enrol)
    await asyncio.to_thread(roster.consent, me, "text", "en")

    async def session(protocol, host="media.test"):
        trusted = proxy.ca_pem if host == "media.test" else origin.ca_pem
        auth = (credential.username, credential.password)
        return await connect(f"https://{host}", protocol=protocol, proxy=proxy.address, ca=trusted, auth=auth)

    async def leave(how):
        await asyncio.to_thread(getattr(roster, how), me)

    def later(seconds):
        ahead[0] += seconds

    yield SimpleNamespace(proxy=proxy, roster=roster, records=records, session=session, leave=leave, later=later, me=me)
    await proxy.stop()
    await asyncio.to_thread(roster.close)


def slow(study):
    """How many transfers are under way that a rule is about."""
    return [live for live in list(study.proxy.shaping.live) if live.verdict and live.verdict.shaped]


def picture(size=SIZE, media="image/jpeg"):
    return f"/bytes?size={size}&type={media}"


def is_whole(got, size=SIZE):
    return got.sha256 == digest(Stream(size)) and got.duration < PATIENCE


@pytest.mark.parametrize("protocol", ["h1", "h2"])
@pytest.mark.parametrize("how", LEAVES)
async def test_the_next_response_on_an_open_connection_is_neither_slowed_nor_recorded(
    study, protocol, how, monkeypatch
):
    monkeypatch.setattr(parting, "LOOK_EVERY", 3600)  # so that the connection stays
    async with await study.session(protocol) as session:
        assert (await session.request(picture(3000))).size == 3000
        assert await until(lambda: [record.reason for record in study.records] == ["matched"])
        await study.leave(how)
        assert is_whole(await session.request(picture()))
        assert await until(lambda: not study.proxy.shaping.live)
        assert len(study.records) == 1


@pytest.mark.parametrize("protocol", ["h1", "h2"])
@pytest.mark.parametrize("how", LEAVES)
async def test_a_response_under_way_is_let_go_unrecorded_and_what_is_decrypted_is_closed(study, protocol, how):
    async with await study.session(protocol) as session:
        task = asyncio.create_task(session.request(picture()))
        assert await until(lambda: slow(study))
        await study.leave(how)
        assert is_whole(await task)
        assert await until(lambda: not study.proxy.admitting.visitors)
    assert study.records == []
    assert study.proxy.shaping.levels.backlog == 0


@pytest.mark.parametrize("how", LEAVES)
async def test_a_tunnel_is_let_go_and_stays(study, how):
    async with await study.session("h1", "whole.test") as session:
        task = asyncio.create_task(session.request(picture()))
        assert await until(lambda: slow(study))
        await study.leave(how)
        assert is_whole(await task)
        assert is_whole(await session.request(picture()))
    assert await until(lambda: not study.proxy.shaping.live)
    assert study.records == []


@pytest.mark.parametrize("media", ["video/mp4", "audio/mpeg"])
async def test_what_waits_or_is_frozen_is_let_go_too(study, media):
    async with await study.session("h2") as session:
        task = asyncio.create_task(session.request(picture(media=media)))
        assert await until(lambda: slow(study))
        await study.leave("pause")
        assert is_whole(await task)
    assert study.records == []


async def test_an_upload_is_let_go(study):
    async with await study.session("h2") as session:
        body = bytes(SIZE)
        headers = [("content-type", "image/jpeg")]
        task = asyncio.create_task(session.request("/digest", method="POST", body=body, headers=headers))
        assert await until(lambda: slow(study))
        await study.leave("stop")
        assert (await task).duration < PATIENCE
    assert study.records == []


async def test_a_consent_that_expires_lets_go_in_the_midst_of_things(study):
    async with await study.session("h2") as session:
        task = asyncio.create_task(session.request(picture()))
        assert await until(lambda: slow(study))
        study.later(TERMS.consent + 1)
        assert is_whole(await task)
    assert study.records == []
    assert study.roster.member(study.me).state == "expired"


async def test_the_longest_session_ends_in_the_midst_of_things_and_a_rest_follows(study):
    async with await study.session("h2") as session:
        task = asyncio.create_task(session.request(picture()))
        assert await until(lambda: slow(study))
        while study.roster.member(study.me).state == "taking-part":
            study.later(TERMS.rest / 3)  # a silence as long as a rest would be one
            assert await until(lambda: study.roster.census().active == 1)
        assert is_whole(await task)
    assert study.records == []
    study.later(TERMS.rest / 2)
    assert study.roster.standing(study.me).exempt == "paused"
    study.later(TERMS.rest)
    assert study.roster.standing(study.me).exempt is None


async def test_a_budget_that_is_used_up_lets_go_until_the_next_day(study):
    async with await study.session("h2") as session:
        large = asyncio.create_task(session.request(picture()))
        assert await until(lambda: slow(study))
        await session.request(picture(TERMS.bytes_a_day + 1, "text/html"))
        assert is_whole(await large)
    assert [record.size for record in study.records] == [TERMS.bytes_a_day + 1]
    assert study.roster.standing(study.me).exempt == "over-budget"
    study.later(DAY)
    assert study.roster.standing(study.me).exempt is None


async def test_pausing_everybody_lets_go_of_what_is_under_way(study):
    async with await study.session("h2") as session:
        task = asyncio.create_task(session.request(picture()))
        assert await until(lambda: slow(study))
        study.proxy.shaping.paused = True
        assert is_whole(await task)
    assert study.records == []

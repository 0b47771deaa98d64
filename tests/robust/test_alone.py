"""A proxy notices when nobody is there any more."""

import asyncio

import pytest

from tests.e2e.conftest import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_it_is_said_once_that_the_last_client_left_and_not_before(lab, monkeypatch):
    monkeypatch.setattr("shaper.proxy.crowd.LOOK_EVERY", 0.05)
    left = []
    monkeypatch.setattr(lab.proxy.shaping, "when_alone", lambda: left.append(len(lab.proxy.admitting.visitors)))
    ends = [await lab.dial() for _ in range(2)]
    assert await until(lambda: len(lab.proxy.admitting.visitors) == 2)
    ends[0][1].close()
    assert await until(lambda: len(lab.proxy.admitting.visitors) == 1)
    await asyncio.sleep(0.3)
    assert left == []
    ends[1][1].close()
    assert await until(lambda: left)
    await asyncio.sleep(0.3)
    assert left == [0]

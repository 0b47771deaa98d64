import asyncio
from types import SimpleNamespace

import pytest
from mitmproxy.proxy import commands

from shaper.proxy.bell import Bell, Rung, hear_bells


@pytest.fixture
def handler():
    """What mitmproxy's handler of a connection has to do with wakeups."""
    heard, timed = [], []

    async def hear(event):
        heard.append(event)

    async def wakeup(request):
        timed.append(request)

    handler = SimpleNamespace(heard=heard, timed=timed, server_event=hear, wakeup=wakeup, wakeup_timer=set())
    hear_bells(handler)
    return handler


async def test_a_bell_comes_back_as_rung_when_it_is_rung_and_not_before(handler):
    bell = Bell()
    task = asyncio.create_task(handler.wakeup(bell))
    handler.wakeup_timer.add(task)
    await asyncio.sleep(0.01)
    assert handler.heard == []
    bell.ring()
    await asyncio.wait_for(task, 5)
    (event,) = handler.heard
    assert isinstance(event, Rung)
    assert event.command is bell
    assert handler.wakeup_timer == set()


async def test_a_bell_may_be_rung_before_anybody_listens_and_more_than_once(handler):
    bell = Bell()
    bell.ring()
    bell.ring()
    await asyncio.wait_for(handler.wakeup(bell), 5)
    assert len(handler.heard) == 1


async def test_timed_wakeups_stay_as_they_are(handler):
    request = commands.RequestWakeup(1)
    await handler.wakeup(request)
    assert (handler.timed, handler.heard) == ([request], [])

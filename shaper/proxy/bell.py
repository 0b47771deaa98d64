"""Entering the layers from outside: a wakeup that is rung, not timed.

A layer yields a Bell; whoever holds it rings it later, and the layer gets a `Rung` event. mitmproxy routes it back to
the layer as it does with `RequestWakeup`. A blocking Bell pauses its layer, and only it, until it is rung.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from mitmproxy.proxy import commands, events
from mitmproxy.proxy.server import ConnectionHandler


class Bell(commands.RequestWakeup):
    """To be rung once."""

    def __init__(self, *, blocking: bool = False) -> None:
        super().__init__(delay=0)
        self.blocking = blocking
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Let the layer go on, soon."""
        self._rung.set()

    async def wait(self) -> None:
        """Wait until it is rung."""
        await self._rung.wait()


@dataclass(repr=False)
class Rung(events.CommandCompleted):
    """The bell was rung."""

    command: Bell
    reply: None = None


def hear_bells(handler: ConnectionHandler) -> None:
    """Teach one connection's handler to wait for bells. Its timed wakeups stay as they are."""
    timed: Callable[[commands.RequestWakeup], Awaitable[None]] = handler.wakeup

    async def wakeup(request: commands.RequestWakeup) -> None:
        if not isinstance(request, Bell):
            return await timed(request)
        await request.wait()
        if task := asyncio.current_task():
            handler.wakeup_timer.discard(task)
        return await handler.server_event(Rung(request))

    handler.wakeup = wakeup  # type: ignore[method-assign]

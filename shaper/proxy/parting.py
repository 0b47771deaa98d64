"""The addon that lets go at once of who takes no part any more: paused, stopped, deleted, expired or over a limit.

What is under way passes, unshaped and unrecorded. What was decrypted is closed as soon as nothing is under way on it:
the next connection is a tunnel. People leave from other threads and as time passes, so this looks.
"""

from collections.abc import Mapping

from mitmproxy.connection import Client

from shaper.policy.verdict import Reason
from shaper.proxy.clock import monotonic
from shaper.proxy.shaping import Shaping
from shaper.proxy.visitor import Visitor

LOOK_EVERY = 0.5  # seconds


class Parting:
    """Looks at all visitors while there are any."""

    def __init__(self, shaping: Shaping, visitors: Mapping[str, Visitor]) -> None:
        self._shaping = shaping
        self._visitors = visitors
        self._is_looking = False

    def client_connected(self, _: Client) -> None:
        """Begin to look, or go on."""
        if not self._is_looking:
            self._is_looking = True
            self._shaping.ticker.call_at(monotonic() + LOOK_EVERY, self._look)

    def _look(self, now: float) -> None:
        for visitor in list(self._visitors.values()):
            is_here = any(layer.is_busy for layer in visitor.layers)
            reason = visitor.standing.exempt if is_here else visitor.exempt
            if reason := Reason.PAUSED if self._shaping.paused else reason:
                for layer in visitor.layers:
                    layer.free(reason)
                if visitor.client.tls and not visitor.is_busy:
                    visitor.hang_up(f"its client takes no part: {reason}")
        self._is_looking = bool(self._visitors)
        if self._is_looking:
            self._shaping.ticker.call_at(now + LOOK_EVERY, self._look)

"""What the shaper did, told to the page itself: Server-Timing, as a header for what is known by then and as a trailer.

Only when the policy asks (`server_timing: true`): a page could tell from it that it is slowed, and by what. Another
origin's page may read it only with Timing-Allow-Origin, which is added with it where the origin sends none.
Source: W3C Server Timing; durations are milliseconds there.
"""

from mitmproxy import http

from shaper.policy.units import format_rate
from shaper.policy.verdict import Verdict
from shaper.record.live import LiveTransfer
from shaper.record.transfer import Wait


def announce(response: http.Response, verdict: Verdict, live: LiveTransfer) -> None:
    """Add the header: the origin's part so far, and what was decided."""
    entries = [f"origin;dur={live.ledger.seconds[Wait.ORIGIN] * 1000:.1f}", f'shaper;desc="{_decision(verdict)}"']
    response.headers.add("server-timing", ", ".join(entries))
    if "timing-allow-origin" not in response.headers:
        response.headers["timing-allow-origin"] = "*"


def sum_up(response: http.Response, live: LiveTransfer) -> None:
    """Add the trailer: where the body's time went. It goes where the protocol and the framing have room for it."""
    trailers = response.trailers or http.Headers()
    parts = {"receiving": Wait.RECEIVING, "held": Wait.SHAPER, "stalled": Wait.CLIENT}
    entries = [f"{name};dur={live.ledger.seconds[wait] * 1000:.1f}" for name, wait in parts.items()]
    trailers.add("server-timing", ", ".join(entries))
    response.trailers = trailers


def _decision(verdict: Verdict) -> str:
    if verdict.rule is None or not verdict.shaped:
        return str(verdict.reason)
    rates = (format_rate(limit.rate * 8) for limit in verdict.limits)
    return " ".join((verdict.rule.name, *rates))

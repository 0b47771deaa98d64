"""The two clocks of the proxy. No other file of it reads one."""

import time
from datetime import UTC, datetime

monotonic = time.monotonic
"""Seconds on the clock that pacing and ledgers use; it never jumps."""


def wall() -> datetime:
    """Return the time of day, for phases and the journal's timestamps."""
    return datetime.now(UTC)

"""The control API on its port: on this machine only, for who can read the token's file."""

from collections.abc import Callable
from pathlib import Path

from shaper.onboarding.control.app import make_control
from shaper.onboarding.control.audit import AuditLog
from shaper.onboarding.control.controls import Controls
from shaper.onboarding.roster import Roster
from shaper.onboarding.site.server import Serving, serve
from shaper.onboarding.worksheet import Configuration
from shaper.policy.exposure import is_loopback
from shaper.policy.load import MAX_BYTES
from shaper.policy.refused import RefusedError
from shaper.record import private

ROOM = 1024  # bytes beyond the largest policy, so that a larger one is refused in words


def serve_control(
    controls: Controls,
    configuration: Configuration,
    listen: tuple[str, int],
    *,
    token: Path,
    audit: AuditLog,
    roster: Roster | None = None,
    count: Callable[[int], None] = lambda _status: None,
) -> Serving:
    """Serve until closed; port 0 takes a free one. The token is made at first use. Raises RefusedError."""
    host, port = listen
    if not is_loopback(host):
        raise RefusedError(f"--control: {host}: others could reach it", "listen on 127.0.0.1 and reach it over ssh")
    app = make_control(controls, configuration, private.ensure(token).hex(), audit, roster=roster, count=count)
    try:
        return serve(app, host, port, largest=MAX_BYTES + ROOM)
    except OSError as error:
        raise RefusedError(f"--control: {host}:{port}: {error.strerror}", "name another port") from None

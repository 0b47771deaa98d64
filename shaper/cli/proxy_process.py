"""`shaper run` in a process of its own, for whoever measures it from outside."""

import asyncio
import signal
import sys
from collections.abc import Sequence
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryFile
from typing import Self
from urllib.parse import urlsplit

from shaper.policy.refused import RefusedError

START = (sys.executable, "-m", "shaper.cli.attached")
PATIENCE = 10.0  # seconds
LAST = "journal"  # the label of the last line of its greeting


class ProxyProcess:
    """A proxy that is up. `command` starts shaper; tests put a faulty one there.

    It is in a session of its own, so that Ctrl-C reaches who measures and not the proxy under the transfer.
    """

    def __init__(self, policy: Path, arguments: Sequence[str] = (), command: Sequence[str] = START) -> None:
        self._command = [
            *command, "run", "--policy", str(policy), "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", *arguments,
        ]  # fmt: skip
        self._process: asyncio.subprocess.Process | None = None
        self._said: dict[str, str] = {}

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, _, port = self._said["proxy"].partition(";")[0].rpartition(":")
        return host, int(port)

    @property
    def ca_pem(self) -> Path | None:
        """The certificate to trust, if it intercepts anything."""
        path = Path(self._said["CA"])
        return path if path.is_absolute() else None

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process is not None and self._process.returncode is None

    def told(self, label: str) -> str:
        """Return what it said about something when it started, or nothing."""
        return self._said.get(label, "")

    @property
    def metrics_url(self) -> str:
        """Where its metrics are."""
        return self._said["metrics"]

    def metrics(self) -> str:
        """Return its metrics as they are now. Waits for them, so call it in a thread."""
        where = urlsplit(self.metrics_url)
        connection = HTTPConnection(where.hostname or "", where.port, timeout=PATIENCE)
        try:
            connection.request("GET", where.path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    async def __aenter__(self) -> Self:
        with TemporaryFile() as complaints:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=complaints,
                start_new_session=True,
            )
            assert self._process.stdout
            while LAST not in self._said:
                if not (read := await self._process.stdout.readline()):
                    await self._process.wait()
                    complaints.seek(0)
                    problem = complaints.read().decode(errors="replace").strip().splitlines() or ["it said nothing"]
                    raise RefusedError(f"the proxy did not start: {problem[-1]}", "try it with `shaper run`")
                label, _, value = read.decode().strip().partition(" ")
                self._said[label] = value.strip()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            assert self._process.stdout
            await self._process.stdout.read()  # its input stays open until it has ended: to close it is to ask again
            await self._process.wait()

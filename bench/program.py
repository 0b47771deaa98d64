"""A program that runs while something is measured: its start, its cost, its end. Linux only: it reads /proc."""

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Self


def free_port():
    """Return a loopback port that nobody has at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Program:
    """A process with all its children. What it prints is kept in `log`."""

    within: tuple[str, ...] = ()
    """What goes before every command, to run it in another network namespace."""

    def __init__(self, *command, log: Path, env=None):
        self.name, self.log = command[0], log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                (*self.within, *command), stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env,
                start_new_session=True,
            )  # fmt: skip
        atexit.register(self.stop)

    def wait_for(self, port=None, text=None, seconds=20.0):
        """Return the seconds until it listens on `port`, or has printed `text`."""
        begun = time.monotonic()
        while time.monotonic() < begun + seconds:
            if self.process.poll() is not None:
                break
            if text is not None and text in self.printed():
                return time.monotonic() - begun
            if port is not None:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    return time.monotonic() - begun
            time.sleep(0.005)
        raise SystemExit(f"{self.name} did not start:\n{self.printed()[-2000:]}")

    def printed(self):
        return self.log.read_text(errors="replace")

    def pids(self):
        """Return the process and its descendants."""
        parents = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    stat = (entry / "stat").read_text().rpartition(")")[2].split()
                    parents.setdefault(int(stat[1]), []).append(int(entry.name))
        found = [self.process.pid]
        for pid in found:
            found += parents.get(pid, [])
        return found

    def cpu(self):
        """Return the seconds of processor time used so far, by the scheduler's own account."""
        used = 0
        for pid in self.pids():
            for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                with contextlib.suppress(OSError):
                    used += int(task.read_text().split()[0])
        return used / 1e9

    def memory(self):
        """Return the bytes of memory that are its own; pages that its processes share count once."""
        kilobytes = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        kilobytes += int(line.split()[1])
        return kilobytes * 1024

    def descriptors(self):
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in self.pids())

    @contextlib.contextmanager
    def apart(self):
        """Give it the last processor alone, and its clients the others.

        The kernel likes to wake a client on the processor of who sends; there it waits until the sender rests, which is
        up to a millisecond after the last byte of a body.
        """
        ours = os.sched_getaffinity(0)
        *others, last = sorted(ours)
        self._run_on({last})
        os.sched_setaffinity(0, others or ours)
        try:
            yield
        finally:
            os.sched_setaffinity(0, ours)
            self._run_on(ours)

    def _run_on(self, processors):
        for pid in self.pids():
            for task in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(OSError):
                    os.sched_setaffinity(int(task.name), processors)

    def stop(self):
        """End the process group that it started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(3)
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_):
        self.stop()

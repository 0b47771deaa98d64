"""What a measurement depends on besides the plan: versions, machine, clock. No name, no address, no serial number."""

import ctypes
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

UNSYNCHRONISED = 5  # adjtimex(2), TIME_ERROR
GIB = 2**30


def versions() -> dict[str, str]:
    """Return the versions whose change may change what the proxy does."""
    return {
        **{name: version(name) for name in ("shaper", "mitmproxy", "h2", "h11")},
        "python": platform.python_version(),
    }


def machine() -> str:
    """Return what kind of machine this is, as a certificate names it."""
    return f"{platform.machine()} {platform.system()} {platform.release()}"


def hardware() -> dict[str, str]:
    """Return what a run says of its machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    return {
        "system": machine(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory:.1f} GiB",
    }


def clock() -> dict[str, str]:
    """Return which clock durations are taken from, and whether the time of day is kept by a time server."""
    info = time.get_clock_info("monotonic")
    return {"source": info.implementation, "resolution": f"{info.resolution:g} s", "synchronised": _synchronised()}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _synchronised() -> str:
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))  # zeros: asks and sets nothing
    except (OSError, AttributeError):
        return "unknown"
    return "no" if state == UNSYNCHRONISED else "yes" if state >= 0 else "unknown"

"""How fast does traffic pass that nobody slows? Bytes by curl, requests by the probe, processor time by the kernel."""

import subprocess
from time import monotonic


def throughput(subject, protocol, *, tunnelled=False):
    """Return MB/s of one 50 MB body, and CPU seconds a GB."""
    url = f"{subject.url(tunnelled=tunnelled)}/50m.bin"
    way = ["--proxy", "http://{}:{}".format(*subject.proxy)] if subject.proxy else []
    version = "--http2" if protocol == "h2" else "--http1.1"
    used = subject.program.cpu() if subject.program else 0.0
    told = subprocess.run(
        ["curl", "-sk", version, *way, "-o", "/dev/null", "-w", "%{http_code} %{size_download} %{speed_download}", url],
        capture_output=True, text=True, check=False, timeout=120,
    ).stdout.split()  # fmt: skip
    used = subject.program.cpu() - used if subject.program else 0.0
    if told[:2] != ["200", "50000000"]:
        return None, None
    return float(told[2]) / 1e6, used / 0.05


async def requests(subject, protocol, *, tunnelled=False, seconds=2.0):
    """Return requests a second, one after another on one connection, and CPU microseconds a request."""
    async with await subject.connect(protocol, url=subject.url(tunnelled=tunnelled)) as session:
        await session.request(subject.page)
        used = subject.program.cpu() if subject.program else 0.0
        count, begun = 0, monotonic()
        while monotonic() < begun + seconds:
            count += (await session.request(subject.page)).status == 200
        elapsed = monotonic() - begun
        used = subject.program.cpu() - used if subject.program else 0.0
    return count / elapsed, 1e6 * used / count if count else None

"""A calibration: the lab's origin, a proxy in a process of its own, a real client here, one rate after another."""

import asyncio
import platform
import re
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from shaper.cli.proxy_process import START, ProxyProcess
from shaper.lab.origin import Origin
from shaper.measure.calibration import Figure, Tolerance, figure
from shaper.measure.certificate import VALID, Certificate
from shaper.measure.line import Line
from shaper.measure.probe import Protocol, connect
from shaper.measure.run import Outcome
from shaper.measure.session import Session
from shaper.policy.model import Policy
from shaper.policy.refused import RefusedError
from shaper.policy.units import EXACT, format_rate

RATES = tuple(rate * 1e6 for rate in (0.1, 0.15, 0.5, 1.0, 5.0, 10.0, 50.0))
BURST = 2048
LASTS = 2.0
"""Seconds that a body takes at its rate."""

PAUSE = 0.1
"""Seconds between unslowed responses beside it."""


@dataclass
class Calibration:
    """What is to be calibrated, and how often."""

    policy: Policy | None = None
    rates: Sequence[float] = ()
    repeats: int = 3
    tolerance: Tolerance = field(default_factory=Tolerance)
    command: Sequence[str] = START
    progress: Callable[[Figure], None] = lambda _: None

    async def run(self) -> tuple[Certificate, list[tuple[Figure, Line]]]:
        """Calibrate; return the certificate and, to draw, the first line of each figure."""
        steps = self._steps()
        names = [_host(number) for number in range(len(steps))]
        drawn: list[tuple[Figure, Line]] = []
        with TemporaryDirectory(prefix="shaper-calibrate-") as directory, Origin([*names, "localhost"]) as origin:
            policy = Path(directory) / "calibration.yaml"
            policy.write_text(_policy(steps))
            routes = [f"--connect-to={name}:443:127.0.0.1:{origin.port}" for name in names]
            arguments = [*routes, f"--origin-ca={origin.ca_pem}", f"--ca-dir={directory}/ca"]
            async with ProxyProcess(policy, arguments, self.command) as proxy:
                for name, (rate, burst) in zip(names, steps, strict=True):
                    for protocol in ("h1", "h2"):
                        found, first = await self._measure(name, rate, burst, protocol, proxy)
                        drawn.append((found, first))
                        self.progress(found)
                lag = await asyncio.to_thread(_lag, proxy.metrics_url)
        figures = tuple(found for found, _ in drawn)
        made = datetime.now(UTC)
        certificate = Certificate(
            made=made,
            valid_until=made + VALID,
            machine=machine(),
            versions=versions(),
            policy=self.policy.digest if self.policy else None,
            tolerance=self.tolerance,
            figures=figures,
            lag=lag,
            passed=all(found.ok for found in figures) and lag <= self.tolerance.lag,
        )
        return certificate.sealed(), drawn

    def _steps(self) -> list[tuple[float, int]]:
        """Return the pairs of rate and burst to calibrate."""
        if self.policy is None:
            return [(rate, BURST) for rate in self.rates or RATES]
        caps = {(cap.rate, int(cap.burst)) for rule in self.policy.rules for cap in rule.caps}
        if not caps:
            raise RefusedError("the policy caps nothing: there is no rate to calibrate", "calibrate without --policy")
        return sorted(caps)

    async def _measure(
        self, name: str, rate: float, burst: int, protocol: Protocol, proxy: ProxyProcess
    ) -> tuple[Figure, Line]:
        lines, latencies = [], []
        size = max(burst + 20_000, burst + round(rate / 8 * LASTS))
        url, ca = f"https://{name}", proxy.ca_pem
        for _ in range(self.repeats):
            async with await connect(url, protocol=protocol, proxy=proxy.address, ca=ca) as slowed:
                if protocol == "h2":
                    line, beside = await _fetch(slowed, slowed, size)
                else:
                    async with await connect(url, protocol=protocol, proxy=proxy.address, ca=ca) as other:
                        line, beside = await _fetch(slowed, other, size)
            lines.append(line)
            latencies += beside
        return figure(rate, protocol, burst, lines=lines, latencies=latencies, tolerance=self.tolerance), lines[0]


async def _fetch(slowed: Session, other: Session, size: int) -> tuple[Line, list[float]]:
    """Fetch a slowed body and, beside it, unslowed ones until it is there."""
    latencies: list[float] = []

    async def keep_asking() -> None:
        while True:
            page = await other.request("/bytes?size=1000&type=text/html")
            latencies.append(page.duration)
            await asyncio.sleep(PAUSE)

    asking = asyncio.create_task(keep_asking())
    got = await slowed.request(f"/bytes?size={size}&type=image/jpeg", timeout=60.0)
    asking.cancel()
    if got.outcome is not Outcome.COMPLETE or got.size != size:
        raise RefusedError(f"a body did not arrive: {got.error or got.outcome}", "see what the proxy logs")
    return got.line, latencies


def _host(number: int) -> str:
    return f"rate-{number}.calibration.test"


def _policy(steps: Sequence[tuple[float, int]]) -> str:
    """Return a policy with a target for every step."""
    names = [f"rate-{number}" for number in range(len(steps))]
    rules = [
        {
            "name": name, "target": name, "media": ["image"],
            "caps": [{"rate": format_rate(rate, EXACT), "burst": f"{burst} B"}],
        }
        for name, (rate, burst) in zip(names, steps, strict=True)
    ]  # fmt: skip
    targets = {name: {"hosts": [_host(number)]} for number, name in enumerate(names)}
    return yaml.safe_dump({"version": 1, "study": "calibration", "targets": targets, "rules": rules}, sort_keys=False)


def _lag(url: str) -> float:
    """Return the 99th percentile of the loop's lag: the upper edge of the bucket that it falls into."""
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own proxy's
        text = answer.read().decode()
    buckets = [
        (float(edge), float(count))
        for edge, count in re.findall(r'^shaper_loop_lag_seconds_bucket\{le="([^"]+)"\} (\S+)$', text, re.MULTILINE)
    ]
    total = buckets[-1][1] if buckets else 0.0
    return next((edge for edge, count in buckets if count >= 0.99 * total), 0.0)


def versions() -> dict[str, str]:
    """Return the versions whose change may change what the proxy does."""
    return {
        **{name: version(name) for name in ("shaper", "mitmproxy", "h2", "h11")},
        "python": platform.python_version(),
    }


def machine() -> str:
    """Return what kind of machine this is."""
    return f"{platform.machine()} {platform.system()} {platform.release()}"

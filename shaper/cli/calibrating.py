"""A calibration: the lab's origin, a proxy in a process of its own, a real client here, one cap after another.

Each cap is calibrated on single responses, whatever its scope in the policy: the scope says who shares a bucket, and
not how well it keeps time. Nothing here knows how the proxy does it, so a faulty one is found out from its bytes.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from shaper.cli.proxy_process import START, ProxyProcess
from shaper.lab.origin import Origin
from shaper.measure.calibration import Asked, Figure, Tolerance, figure
from shaper.measure.certificate import VALID, Certificate, asked_by
from shaper.measure.line import Line
from shaper.measure.probe import Protocol, connect
from shaper.measure.run import Outcome
from shaper.measure.session import Session
from shaper.measure.surroundings import machine, versions
from shaper.policy.model import Policy
from shaper.policy.refused import RefusedError
from shaper.policy.units import EXACT, format_duration, format_rate, format_size

RATES = tuple(rate * 1e6 for rate in (0.1, 0.15, 0.5, 1.0, 5.0, 10.0, 50.0))
BURST = 2048
LASTS = 2.0
"""Seconds that a body takes at its rate."""

LAG = re.compile(r'^shaper_loop_lag_seconds_bucket\{le="([^"]+)"\} (\S+)$', re.MULTILINE)
PAUSE = 0.1
"""Seconds between unslowed responses beside it."""


@dataclass(kw_only=True)
class Calibration:
    """What is to be calibrated, and how often."""

    policies: Sequence[Policy] = ()
    rates: Sequence[float] = ()
    protocols: Sequence[Protocol] = ("h1", "h2")
    repeats: int = 3
    tolerance: Tolerance = field(default_factory=Tolerance)
    command: Sequence[str] = START
    progress: Callable[[Figure], None] = lambda _: None

    @property
    def asked(self) -> list[Asked]:
        """What is calibrated: the policies' caps and the rates; without either, the usual rates."""
        caps = {asked for policy in self.policies for asked in asked_by(policy)}
        if self.policies and not caps and not self.rates:
            raise RefusedError("the policy has no cap that shaper paces itself", "calibrate without --policy")
        rates = self.rates or (() if self.policies else RATES)
        return sorted(caps | {Asked(rate, BURST) for rate in rates})

    async def run(self) -> tuple[Certificate, list[tuple[Figure, Line]]]:
        """Calibrate; return the certificate and, to draw, the first line of each figure."""
        steps = {f"cap-{number}": asked for number, asked in enumerate(self.asked)}
        drawn: list[tuple[Figure, Line]] = []
        with (
            TemporaryDirectory(prefix="shaper-calibrate-") as home,
            Origin([*map(_host, steps), "localhost"]) as origin,
        ):
            policy = Path(home) / "calibration.yaml"
            policy.write_text(_policy(steps))
            routes = [f"--connect-to={_host(name)}:443:127.0.0.1:{origin.port}" for name in steps]
            arguments = [*routes, f"--origin-ca={origin.ca_pem}", f"--ca-dir={home}/ca"]
            async with ProxyProcess(policy, arguments, self.command) as proxy:
                for name, asked in steps.items():
                    for protocol in self.protocols:
                        found, first = await self._measure(_host(name), asked, protocol, proxy)
                        drawn.append((found, first))
                        self.progress(found)
                lag = await asyncio.to_thread(_lag, proxy)
        figures = tuple(found for found, _ in drawn)
        made = datetime.now(UTC)
        certificate = Certificate(
            made=made,
            valid_until=made + VALID,
            machine=machine(),
            versions=versions(),
            policies=tuple(policy.digest for policy in self.policies),
            tolerance=self.tolerance,
            figures=figures,
            lag=lag,
            passed=all(found.ok for found in figures) and lag <= self.tolerance.lag,
        )
        return certificate.sealed(), drawn

    async def _measure(self, host: str, asked: Asked, protocol: Protocol, proxy: ProxyProcess) -> tuple[Figure, Line]:
        lines, latencies = [], []
        size, url, ca = asked.size(LASTS), f"https://{host}", proxy.ca_pem
        for _ in range(self.repeats):
            async with await connect(url, protocol=protocol, proxy=proxy.address, ca=ca) as slowed:
                if protocol == "h2":
                    line, beside = await _fetch(slowed, slowed, size)
                else:
                    async with await connect(url, protocol=protocol, proxy=proxy.address, ca=ca) as other:
                        line, beside = await _fetch(slowed, other, size)
            lines.append(line)
            latencies += beside
        return figure(asked, protocol, lines=lines, latencies=latencies, tolerance=self.tolerance), lines[0]


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
        raise RefusedError(f"a body did not arrive: {got.error or got.outcome}", "see what the proxy says")
    return got.line, latencies


def _host(name: str) -> str:
    return f"{name}.calibration.test"


def _policy(steps: dict[str, Asked]) -> str:
    """Return a policy with a target for every cap."""
    rules = [{"name": name, "target": name, "media": ["image"], "caps": [_cap(asked)]} for name, asked in steps.items()]
    targets = {name: {"hosts": [_host(name)]} for name in steps}
    return yaml.safe_dump({"version": 1, "study": "calibration", "targets": targets, "rules": rules}, sort_keys=False)


def _cap(asked: Asked) -> dict[str, Any]:
    own = (
        {"window": format_duration(asked.window, EXACT)}
        if asked.window
        else {"burst": format_size(asked.at_once, EXACT)}
    )
    return {"rate": format_rate(asked.rate, EXACT), "manner": asked.manner, **own}


def _lag(proxy: ProxyProcess) -> float:
    """Return the 99th percentile of the loop's lag: the upper edge of the bucket that it falls into."""
    buckets = [(float(edge), float(count)) for edge, count in LAG.findall(proxy.metrics())]
    total = buckets[-1][1] if buckets else 0.0
    return next((edge for edge, count in buckets if count >= 0.99 * total), 0.0)

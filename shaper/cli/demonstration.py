"""The demo run: the lab's origin, the proxy and real clients in one process, each visit without and with shaping.

Without means through the same proxy under the same policy with every effect taken out of its rules.
"""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Self

from pydantic import BaseModel
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

from shaper.cli.browse import browse
from shaper.cli.demo_table import show
from shaper.cli.findings import Findings, Trial
from shaper.cli.visit import TIMEOUT, Page, Resource, Route, again, visit
from shaper.lab.origin import Origin
from shaper.measure.fetched import Fetched, Watch
from shaper.measure.probe import Protocol
from shaper.policy.judge import Judge
from shaper.policy.model import Level, Policy
from shaper.policy.refused import RefusedError
from shaper.policy.verdict import Facts, Person, Verdict
from shaper.proxy.server import ConnectTo, Proxy, Settings
from shaper.record.transfer import TransferRecord

PROTOCOLS: dict[Protocol, str] = {"h1": "HTTP/1.1", "h2": "HTTP/2"}
RETRIES = 2
NOTHING: dict[str, object] = {"caps": (), "latency": None, "freeze_after": None, "block": None, "after": 0}


class Records(list[TransferRecord]):
    """Keeps the proxy's records of the visit under way."""

    def record(self, record: TransferRecord) -> None:
        """Take one finished transfer."""
        self.append(record)


async def demonstrate(
    policy: Policy, tolerance: float, figures: Path | None, *, serve: bool, listen: tuple[str, int]
) -> bool:
    """Run the demo and say what was found; return whether all was within tolerance."""
    console = Console()
    if task := asyncio.current_task():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    if figures:
        _write(figures, "")  # better now than after the measurement
    async with Demonstration.up(policy, listen, console) as demonstration:
        findings = await demonstration.measure(tolerance)
        show(findings, console)
        if figures:
            _write(figures, json.dumps(findings.as_json(), indent=1) + "\n")
        if serve:
            await browse(demonstration.page, demonstration.proxy, demonstration.origin, console)
    return findings.ok


def _write(figures: Path, text: str) -> None:
    try:
        figures.write_text(text)
    except OSError as error:
        raise RefusedError(f"--json: {figures}: {error.strerror}", "name a file that can be written") from None


@dataclass
class Demonstration:
    """An origin and a proxy that are up."""

    policy: Policy
    page: Page
    origin: Origin
    proxy: Proxy
    records: Records
    console: Console

    @classmethod
    @asynccontextmanager
    async def up(cls, policy: Policy, listen: tuple[str, int], console: Console) -> AsyncIterator[Self]:
        """Start both; what is made for them is gone afterwards."""
        page, records = page_for(policy), Records()
        with TemporaryDirectory(prefix="shaper-demo-") as directory:
            async with Origin(page.hosts) as origin:
                settings = Settings(
                    listen=listen,
                    ca_dir=Path(directory),
                    connect_to=tuple(ConnectTo(host, 443, origin.host, origin.port) for host in page.hosts),
                    origin_ca=origin.ca_pem,
                )
                proxy = Proxy(policy, settings, [records])
                try:
                    await proxy.start()
                    yield cls(policy, page, origin, proxy, records, console)
                finally:
                    await proxy.stop()

    async def measure(self, tolerance: float) -> Findings:
        """Visit the page over h1 and h2, without and with shaping."""
        begun, trials = monotonic(), list[Trial]()
        for protocol in PROTOCOLS:
            self.proxy.swap(control(self.policy))
            free = await self._visit(protocol, "not shaped")
            self.proxy.swap(self.policy)
            shaped = await self._visit(protocol, "shaped")
            found = [self._trial(resource, protocol, free[resource], shaped[resource]) for resource in free]
            trials += await self._retried(found, protocol, tolerance)
        return Findings(self.policy, self.page, trials, tolerance, monotonic() - begun)

    def _trial(
        self, resource: Resource, protocol: str, free: Fetched, shaped: Fetched, earlier: tuple[float, ...] = ()
    ) -> Trial:
        verdict = due(self.policy, resource)
        return Trial(resource, protocol, verdict, free, shaped, self._record(resource), earlier)

    async def _retried(self, trials: list[Trial], protocol: Protocol, tolerance: float) -> list[Trial]:
        """Fetch again what is off its cap: one stall of a busy machine spoils a short transfer. The findings say so."""
        for _ in range(RETRIES):
            off = [trial for trial in trials if trial.error is not None and abs(trial.error) > tolerance]
            if not off:
                break
            self.records.clear()
            shaped = await again([trial.resource for trial in off], protocol, self._route())
            await self._settle(shaped)
            for old in off:
                earlier = (*old.earlier, old.error or 0.0)
                new = self._trial(old.resource, protocol, old.free, shaped[old.resource], earlier)
                trials[trials.index(old)] = new
        return trials

    def _route(self) -> Route:
        trust = dict.fromkeys(self.page.hosts, self.origin.ca_pem)
        if self.proxy.ca_pem:
            trust |= {host: self.proxy.ca_pem for host in self.page.hosts if host != self.page.elsewhere}
        return Route(self.proxy.address, trust)

    async def _visit(self, protocol: Protocol, how: str) -> dict[Resource, Fetched]:
        self.records.clear()
        begun = monotonic()
        with self._progress(f"{PROTOCOLS[protocol]}, {how}") as watch:
            fetched = await visit(self.page, protocol, self._route(), watch)
        self.console.print(f"{PROTOCOLS[protocol]:<9} {how:<10} {monotonic() - begun:5.1f} s", highlight=False)
        await self._settle(fetched)
        return fetched

    async def _settle(self, resources: Iterable[Resource]) -> None:
        """Wait until the proxy has written its records: it does so just after the client has the last byte."""
        targeted = [resource for resource in resources if resource.host != self.page.elsewhere]
        for _ in range(100):
            if all(self._record(resource) for resource in targeted):
                return
            await asyncio.sleep(0.02)

    def _record(self, resource: Resource) -> TransferRecord | None:
        """Return the proxy's record of a resource. It names no URL, but no two resources are of one size."""
        if resource.host == self.page.elsewhere:
            return None
        found = [record for record in self.records if record.size == resource.body.size]
        return sorted(found, key=lambda record: record.duration)[len(found) // 2] if found else None

    @contextmanager
    def _progress(self, label: str) -> Iterator[Watch]:
        columns = (TextColumn(f"{label:<22}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal) as progress:
            once = (*self.page.together, *self.page.in_turn)
            task = progress.add_task(label, total=sum(resource.body.size for resource in once))
            yield lambda size, _: progress.advance(task, size)


def control(policy: Policy) -> Policy:
    """Return the policy with every effect taken out of its rules."""
    return _changed(policy, rules=tuple(_changed(rule, **NOTHING) for rule in policy.rules))


def _changed[T: BaseModel](model: T, **changes: object) -> T:
    """Return a copy with these fields changed. model_copy would also copy what was computed from the old ones."""
    fields = {name: getattr(model, name) for name in type(model).model_fields}
    return type(model).model_construct(**(fields | changes))


def page_for(policy: Policy) -> Page:
    """Return the page on hosts that the policy targets and one that it does not; refuse what a demo cannot show."""
    place, judge = f"policy {policy.study}", Judge(policy)
    hosts = [host for target in policy.targets.values() for host in target.hosts if isinstance(host, str)]
    if not hosts:
        raise RefusedError(f"{place}: no target names a host that the demo could serve", "name exact hosts or *.suffix")
    for rule in policy.rules:
        if rule.level is Level.CONNECTION or rule.block or rule.freeze_after is not None:
            problem = "shapes whole connections, freezes or blocks, and the demo shows responses that come slowly"
            raise RefusedError(f'{place}: rule "{rule.name}": {problem}', "name a policy whose rules cap media")
    pictures, videos = (hosts[0].replace("*", name) for name in ("pbs", "video"))
    elsewhere = next(name for name in ("example.org", "example.net", "shaper.test") if not judge.listing(name).rules)
    page = Page(pictures, videos, elsewhere)
    for resource in page.resources:
        for limit in due(policy, resource).limits:
            if (seconds := resource.body.size / limit.rate) > TIMEOUT:
                problem = f"{resource.path} would take {seconds:.0f} s"
                raise RefusedError(f"{place}: {problem}", f"name a policy under which it takes at most {TIMEOUT:.0f} s")
    return page


def due(policy: Policy, resource: Resource) -> Verdict:
    """Return what the policy says of a resource."""
    facts = Facts(host=resource.host, path=resource.path, content_type=(resource.content_type,))
    return Judge(policy).decide(facts, Person(), datetime.now(UTC))

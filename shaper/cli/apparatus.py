"""What a plan is measured with: the lab's origin, a proxy for each arm in a process of its own, and a browser.

`take` takes one sample. Whatever a network may do is in the sample; only a proxy or a browser that died is an error,
for then there is nothing to measure with, and the sample must not count.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import parse_qsl

from shaper.cli.proxy_process import ProxyProcess
from shaper.cli.ways import Ways
from shaper.cli.witness import Witness, unwitnessed
from shaper.lab.knobs import read_knobs
from shaper.lab.origin import Origin
from shaper.lab.payload import Body, Stream, digest, whole
from shaper.lab.site import UPLOAD, find, receipt
from shaper.measure.order import Step
from shaper.measure.plan import Object, Plan
from shaper.measure.probe import fetch
from shaper.measure.run import Outcome, ReadEvent, RunError, Sample
from shaper.policy.model import Policy

JPEG = ("content-type", "image/jpeg")


@dataclass
class Apparatus:
    """`policies` are those of the arms that have one, with their files."""

    plan: Plan
    policies: Mapping[str, tuple[Path, Policy]]
    proxy_arguments: Sequence[str] = ()
    _ways: Ways = field(init=False)
    _proxies: dict[str, ProxyProcess] = field(default_factory=dict)
    _witnesses: dict[str, Witness] = field(default_factory=dict)
    _browser: Any = None

    @asynccontextmanager
    async def ready(self) -> AsyncIterator[None]:
        """Start everything; stop it afterwards."""
        async with AsyncExitStack() as stack:
            origin = stack.enter_context(Origin(self.plan.hosts)) if self.plan.origin == "lab" else None
            self._ways = Ways(tuple(self.plan.hosts), origin)
            home = Path(stack.enter_context(TemporaryDirectory(prefix="shaper-measure-")))
            for arm, (path, policy) in self.policies.items():
                journal = home / f"{arm}.jsonl"
                own = [f"--journal={journal}", f"--ca-dir={home / arm}"]
                proxy = ProxyProcess(path, [*self._ways.proxy_arguments(), *self.proxy_arguments, *own])
                self._proxies[arm] = await stack.enter_async_context(proxy)
                self._witnesses[arm] = Witness(journal, proxy, policy)
            if any(probe.kind == "chromium" for probe in self.plan.probes):
                from shaper.measure.chromium import browser  # noqa: PLC0415 - an extra

                keys = await self._ways.keys(self._proxies.values())
                self._browser = await stack.enter_async_context(browser(keys, self._ways.browser_addresses()))
            yield

    async def take(self, step: Step) -> tuple[Sample, list[bytes]]:
        """Take a sample; return it with the lines that its arm's proxy wrote of it."""
        what = next(each for each in self.plan.objects if each.name == step.object)
        blank = Sample(
            id=step.id, block=step.block, order=step.order, arm=step.arm, probe=step.probe, object=step.object,
            media=what.media, started=_now(), outcome=Outcome.ERROR, timeout=self.plan.timeout, duration=0.0,
        )  # fmt: skip
        proxy, witness = self._proxies.get(step.arm), self._witnesses.get(step.arm)
        sample = await (self._load if what.media == "page" else self._fetch)(blank, what, proxy)
        try:
            taken = await witness.account(sample, what.host) if witness else (unwitnessed(sample), [])
        except OSError:  # it does not answer
            taken = None
        if taken is None or (proxy and not proxy.alive):
            raise RunError(f"arm {step.arm}: its proxy died; the same command goes on where the run was")
        if self._browser and not self._browser.is_connected():
            raise RunError("Chromium died; the same command goes on where the run was")
        return taken

    async def _fetch(self, blank: Sample, what: Object, proxy: ProxyProcess | None) -> Sample:
        """Fetch an object, or upload one."""
        kind = next(probe.kind for probe in self.plan.probes if probe.name == blank.probe)
        sent = None if what.size is None else whole(Stream(what.size))
        expected = _expected(what, sent) if self.plan.origin == "lab" else None
        got = await fetch(
            what.url,
            protocol="h2" if kind == "h2" else "h1",
            proxy=proxy.address if proxy else None,
            address=None if proxy else self._ways.address(what),
            ca=self._ways.trusted(proxy),
            timeout=self.plan.timeout,
            method="GET" if sent is None else "POST",
            headers=() if sent is None else [JPEG],
            body=sent or b"",
        )
        known = expected is not None and got.outcome is Outcome.COMPLETE
        return replace(
            blank,
            protocol=got.protocol,
            outcome=got.outcome,
            status=got.status,
            error=got.error,
            duration=got.duration,
            handshake=got.handshake,
            ttfb=got.ttfb,
            expected=expected.size if expected else None,
            received=got.size,
            intact=got.sha256 == digest(expected) if expected and known else None,
            reads=tuple(ReadEvent(*read) for read in got.reads),
        )

    async def _load(self, blank: Sample, what: Object, proxy: ProxyProcess | None) -> Sample:
        """Load a page in the browser."""
        from shaper.measure.chromium import visit  # noqa: PLC0415 - an extra

        async with visit(self._browser, proxy.address if proxy else None) as load:
            if self.plan.cache == "warm":
                await load(what.url, self.plan.timeout)
            blank = replace(blank, started=_now())
            loaded = await load(what.url, self.plan.timeout)
        resources = loaded.browser.resources
        return replace(
            blank,
            protocol=next((each.protocol for each in resources if each.protocol), ""),
            outcome=loaded.outcome,
            error=loaded.error,
            duration=loaded.duration,
            ttfb=resources[0].response if resources else None,
            received=sum(each.size for each in resources),
            browser=loaded.browser,
        )


def _expected(what: Object, sent: bytes | None) -> Body | None:
    """Return what the lab's origin answers, as far as its site says."""
    if sent is not None:
        return receipt(sent) if what.path == UPLOAD else None
    found = find(what.path, read_knobs(dict(parse_qsl(what.query, keep_blank_values=True))))
    return found[1] if found else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

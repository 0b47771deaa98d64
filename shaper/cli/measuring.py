"""A run of a plan: the lab's origin, a proxy in a process of its own for each arm, probes, one sample after another.

Every sample is on disk before the next begins. A run that was interrupted or killed goes on where it was: samples have
names that follow from the plan, and those that are there are not taken again.
"""

import asyncio
import json
import os
import platform
import signal
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import TypeAdapter

from shaper.cli.browse import public_key_hash, shown_key
from shaper.cli.calibrating import machine, versions
from shaper.cli.proxy_process import ProxyProcess
from shaper.cli.shipped import shipped
from shaper.lab.origin import Origin
from shaper.lab.site import assets
from shaper.measure.certificate import read as read_certificate
from shaper.measure.order import Step, steps
from shaper.measure.plan import Object, Plan, Probe
from shaper.measure.probe import fetch
from shaper.measure.run import (
    CONDITIONS,
    SAMPLES,
    Arm,
    Conditions,
    Outcome,
    ReadEvent,
    Run,
    RunError,
    Sample,
    encode_sample,
)
from shaper.policy.load import load
from shaper.policy.model import Policy
from shaper.policy.refused import RefusedError


@dataclass
class Measurement:
    """One run of one plan into one directory."""

    plan: Plan
    directory: Path
    certificate: Path | None = None
    progress: Callable[[Step, Sample | None, int, int], None] = lambda *_: None
    _proxies: dict[str, ProxyProcess] = field(default_factory=dict)
    _browsers: dict[str, Any] = field(default_factory=dict)

    async def run(self) -> bool:
        """Take all samples that are missing; return whether the run is complete. SIGINT stops after a sample."""
        policies = {arm.name: load(_policy_path(arm.policy)) for arm in self.plan.arms if arm.policy}
        todo = list(self._steps())
        done = self._prepare(policies)
        stop = asyncio.Event()
        for sign in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(sign, stop.set)
        async with AsyncExitStack() as stack:
            origin = stack.enter_context(Origin(sorted({each.host for each in self.plan.objects})))
            await self._start(stack, policies, origin)
            with (self.directory / SAMPLES).open("ab") as file:
                for number, step in enumerate(todo):
                    if stop.is_set():
                        return False
                    if step.id in done:
                        self.progress(step, None, number + 1, len(todo))
                        continue
                    sample = await self._take(step, origin)
                    file.write(encode_sample(sample))
                    file.flush()
                    os.fsync(file.fileno())
                    self.progress(step, sample, number + 1, len(todo))
                    await asyncio.sleep(self.plan.washout)
        run = Run.open(self.directory)
        self._write(replace(run.conditions, ended=_now()))
        return True

    def _steps(self) -> list[Step]:
        names = [arm.name for arm in self.plan.arms]
        latin = self.plan.order == "latin-square"
        return list(steps(names, self.plan.pairs, self.plan.blocks, self.plan.seed, latin=latin))

    # On disk

    def _prepare(self, policies: Mapping[str, Policy]) -> set[str]:
        """Begin the directory, or go on with it; return the samples that are there."""
        file = self.directory / CONDITIONS
        if not file.exists():
            self.directory.mkdir(parents=True, exist_ok=True)
            self._write(self._conditions(policies))
            (self.directory / SAMPLES).touch()
            return set()
        run = Run.open(self.directory)
        if run.conditions.plan != self.plan.digest:
            raise RunError(f"{file}: this run is of another plan; name another directory with --output")
        _cut_torn_line(self.directory / SAMPLES)
        return {sample.id for sample in run.samples()}

    def _conditions(self, policies: Mapping[str, Policy]) -> Conditions:
        certificate = read_certificate(self.certificate).digest if self.certificate else None
        return Conditions(
            name=self.plan.name,
            plan=self.plan.digest,
            seed=self.plan.seed,
            started=_now(),
            arms=tuple(
                Arm(
                    name=arm.name,
                    description=arm.description,
                    policy=policies[arm.name].digest if arm.policy else None,
                    certificate=certificate if arm.policy else None,
                )
                for arm in self.plan.arms
            ),
            reference=self.plan.reference,
            probes=tuple(probe.name for probe in self.plan.probes),
            versions=versions(),
            machine={"system": machine(), "cores": str(os.cpu_count()), "python": platform.python_version()},
            clock={
                "source": "CLOCK_MONOTONIC",
                "resolution": f"{time.get_clock_info('monotonic').resolution:g} s",
                "synchronised": "unknown",
            },
        )

    def _write(self, conditions: Conditions) -> None:
        text = json.dumps(TypeAdapter(Conditions).dump_python(conditions, mode="json"), indent=1)
        temporary = self.directory / f".{CONDITIONS}"
        temporary.write_text(text + "\n")
        temporary.replace(self.directory / CONDITIONS)

    # What is measured

    async def _start(self, stack: AsyncExitStack, policies: Mapping[str, Policy], origin: Origin) -> None:
        """Start a proxy for each arm that has a policy, and a browser if a probe is one."""
        lab = Path(stack.enter_context(TemporaryDirectory(prefix="shaper-measure-")))
        routes = [
            f"--connect-to={host}:{port}:127.0.0.1:{to}"
            for host in origin.names
            for port, to in ((443, origin.port), (80, origin.plain_port))
        ]
        arguments = [*routes, f"--origin-ca={origin.ca_pem}"] if self.plan.origin == "lab" else []
        if self.certificate:
            arguments.append(f"--certificate={self.certificate}")
        for arm in self.plan.arms:
            if arm.policy:
                own = [f"--journal={self.directory / f'journal-{arm.name}.jsonl'}", f"--ca-dir={lab / arm.name}"]
                proxy = ProxyProcess(_policy_path(arm.policy), [*arguments, *own])
                self._proxies[arm.name] = await stack.enter_async_context(proxy)
        for name, policy in policies.items():
            if policy.arms and self._proxies[name]:
                raise RefusedError(f"arm {name}: a policy with arms of its own", "give each arm a policy without arms")
        if any(probe.kind == "chromium" for probe in self.plan.probes):
            from shaper.measure.chromium import browser  # noqa: PLC0415 - an extra

            host = next(each.host for each in self.plan.objects if each.media == "page")
            keys = [
                await shown_key(host, proxy.address, self._bundle(origin, proxy)) for proxy in self._proxies.values()
            ]
            hosts = {}
            if self.plan.origin == "lab":
                keys.append(public_key_hash(ssl.get_server_certificate(("127.0.0.1", origin.port))))
                hosts = dict.fromkeys(origin.names, f"127.0.0.1:{origin.port}")
            self._browsers["chromium"] = await stack.enter_async_context(browser(keys, hosts))

    async def _take(self, step: Step, origin: Origin) -> Sample:
        probe = next(each for each in self.plan.probes if each.name == step.probe)
        what = next(each for each in self.plan.objects if each.name == step.object)
        proxy = self._proxies.get(step.arm)
        if probe.kind == "chromium":
            return await self._load_page(step, what, proxy)
        return await self._fetch(step, probe, what, proxy, origin)

    async def _fetch(
        self, step: Step, probe: Probe, what: Object, proxy: ProxyProcess | None, origin: Origin
    ) -> Sample:
        started = _now()
        ca = None
        if self.plan.origin == "lab":
            ca = self._bundle(origin, proxy)
        elif proxy:
            ca = proxy.ca_pem
        got = await fetch(
            what.url,
            proxy=proxy.address if proxy else None,
            protocol=probe.kind,  # type: ignore[arg-type]
            ca=ca,
            timeout=self.plan.timeout,
            address=("127.0.0.1", origin.port) if proxy is None and self.plan.origin == "lab" else None,
        )
        known = assets().get(what.target) if self.plan.origin == "lab" else None
        body = known.data if known else None
        whole = body is not None and got.outcome is Outcome.COMPLETE
        return Sample(
            id=step.id, block=step.block, order=step.order, arm=step.arm, probe=step.probe, object=step.object,
            media=what.media, protocol=got.protocol, started=started, outcome=got.outcome, status=got.status,
            error=got.error, timeout=self.plan.timeout, duration=got.duration, handshake=got.handshake, ttfb=got.ttfb,
            expected=len(body) if body is not None else None, received=got.size,
            intact=got.sha256 == sha256(body).hexdigest() if body is not None and whole else None,
            reads=tuple(ReadEvent(*read) for read in got.reads),
        )  # fmt: skip

    async def _load_page(self, step: Step, what: Object, proxy: ProxyProcess | None) -> Sample:
        from shaper.measure.chromium import load as load_page  # noqa: PLC0415 - an extra

        started = _now()
        loaded = await load_page(
            self._browsers["chromium"],
            what.url,
            proxy=proxy.address if proxy else None,
            patience=self.plan.timeout,
            warm=self.plan.cache == "warm",
        )
        return Sample(
            id=step.id, block=step.block, order=step.order, arm=step.arm, probe=step.probe, object=step.object,
            media=what.media, protocol=_protocol(loaded.browser), started=started, outcome=loaded.outcome,
            error=loaded.error, timeout=self.plan.timeout, duration=loaded.duration, browser=loaded.browser,
            received=sum(each.size for each in loaded.browser.resources),
        )  # fmt: skip

    def _bundle(self, origin: Origin, proxy: ProxyProcess | None) -> Path:
        """Return a file with the certificates that this arm's client has to trust: the lab's and the proxy's."""
        if proxy is None or proxy.ca_pem is None:
            return origin.ca_pem
        bundle = proxy.ca_pem.parent / "trusted.pem"
        if not bundle.exists():
            bundle.write_bytes(origin.ca_pem.read_bytes() + proxy.ca_pem.read_bytes())
        return bundle


def _policy_path(policy: str) -> Path:
    """Return a policy's file: a path, or the name of a shipped one."""
    return Path(policy) if "/" in policy or policy.endswith((".yaml", ".yml")) else shipped(policy)


def _protocol(browser: Any) -> str:
    return next((each.protocol for each in browser.resources if each.protocol), "")


def _cut_torn_line(path: Path) -> None:
    """Drop the half line that a kill left at the end."""
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(data.rfind(b"\n") + 1)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

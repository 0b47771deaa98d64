"""A proxy run put together from its options: what it says at the start, how it reloads, how it ends."""

import asyncio
import logging
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Self

import click
from cryptography.x509 import load_pem_x509_certificates

from shaper import __version__
from shaper.cli.calibrating import machine, versions
from shaper.measure.certificate import Certificate, read
from shaper.policy.admission import Standing
from shaper.policy.load import PolicyError, load, quick
from shaper.policy.model import Contains, Policy
from shaper.policy.refused import RefusedError
from shaper.policy.schedule import Schedule
from shaper.policy.units import parse_duration, parse_moment, parse_share
from shaper.policy.verdict import Person
from shaper.policy.words import effects
from shaper.proxy.server import ConnectTo, Proxy, Settings
from shaper.record.exposition import Exposition, serve
from shaper.record.journal import Journal
from shaper.record.metrics import Metrics

log = logging.getLogger("shaper")


@dataclass
class Run:
    """Everything that one run needs."""

    source: Path | None  # None: the policy came from --limit
    policy: Policy
    settings: Settings
    schedule: Schedule
    person: Person
    shadows: list[Policy]
    metrics_at: tuple[str, int]
    journal_at: Path | None
    certificate: Certificate | None
    tolerance: float | None
    drain: float

    @classmethod
    def prepare(cls, **options: Any) -> Self:
        """Check all options before anything is started."""
        source: Path | None = options["policy"]
        if bool(source) == bool(options["limits"]):
            raise RefusedError("--policy, --limit: one of them is needed, and not both", "name a policy file")
        policy = load(source) if source else quick(options["limits"])
        if options["arm"] and options["arm"] not in policy.arms:
            raise RefusedError(f'--arm: the policy has no arm "{options["arm"]}"', f"name one of {_list(policy.arms)}")
        try:
            start = parse_moment(options["at"]) if options["at"] else None
            drain = parse_duration(options["drain"])
            tolerance = parse_share(options["self_check"]) if options["self_check"] else None
        except RefusedError as error:
            raise RefusedError(f"--at, --drain, --self-check: {error.problem}", error.remedy) from None
        settings = Settings(
            listen=options["listen"],
            ca_dir=options["ca_dir"] or Path.home() / ".shaper" / policy.study,
            connect_to=tuple(ConnectTo(*route) for route in options["connect_to"]),
            origin_ca=_authorities(options["origin_ca"]),
            proxy_protocol_from=_networks(options["proxy_protocol_from"]),
            congestion=_congestion(options["congestion"]),
        )
        return cls(
            source=source,
            policy=policy,
            settings=settings,
            schedule=Schedule(start, datetime.now(UTC) if start else None, options["speed"]),
            person=Person(None, options["access"], options["arm"]),
            shadows=[load(path) for path in options["shadows"]],
            metrics_at=options["metrics"],
            journal_at=options["journal"],
            certificate=_certificate(options["certificate"], policy, required=options["require_calibration"]),
            tolerance=tolerance,
            drain=drain,
        )

    async def serve(self) -> None:
        """Run until SIGTERM or SIGINT."""
        logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        metrics = Metrics()
        exposition = serve(metrics, *self.metrics_at)
        journal = Journal(self.journal_at, metrics) if self.journal_at else None
        proxy: Proxy | None = None
        try:
            proxy = Proxy(
                self.policy,
                self.settings,
                [journal] if journal else [],
                metrics,
                standing=Standing(self.person),
                schedule=self.schedule,
                shadows=self.shadows,
            )
            proxy.shaping.tolerance = self.tolerance
            if self.certificate:
                proxy.shaping.certificate = self.certificate.digest
                metrics.calibration(self.certificate.valid_until.timestamp(), self.certificate.digest)
            await proxy.start()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, stop.set)
            loop.add_signal_handler(signal.SIGHUP, self._reload, proxy, journal)
            self._greet(proxy, exposition)
            await stop.wait()
            click.echo(f"Stopping: no new connections; what is under way has {self.drain:g} s.", err=True)
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
        finally:
            if proxy:
                await proxy.stop(self.drain)
            if journal and not journal.close():
                log.error("%s: not every line could be written", self.journal_at)
            exposition.close()

    def _reload(self, proxy: Proxy, journal: Journal | None) -> None:
        """Load the file again. Whatever is wrong with it, the running policy stays."""
        if journal:
            journal.reopen()
        if self.source is None:
            click.echo("Nothing to reload: the policy came from --limit.", err=True)
            return
        try:
            policy = load(self.source)
            proxy.swap(policy)
        except (PolicyError, RefusedError) as error:
            proxy.metrics.policy_refused()
            click.echo(f"Not reloaded, the running policy stays: {error}", err=True)
            return
        self.policy = policy
        click.echo(f"Reloaded: study {policy.study}, {policy.digest[:19]}", err=True)

    def _greet(self, proxy: Proxy, exposition: Exposition) -> None:
        """Say in a few lines what this proxy does and where everything is."""
        policy = self.policy
        lines = [
            ("study", f"{policy.study}, {policy.digest[:19]}, {policy.mode}"),
            ("targeted", _list(_shown(host) for target in policy.targets.values() for host in target.hosts)),
        ]
        for rule in policy.rules:
            what = _list(rule.media) or "whole connections"
            lines.append(("slowed", f"{rule.name}: {what}: {'; '.join(effects(rule)) or 'nothing: a control'}"))
        lines += [("shadow", f"{shadow.study}: computed only, delays nothing") for shadow in self.shadows]
        host, port = proxy.address
        host = f"[{host}]" if ":" in host else host
        lines += [
            ("proxy", f"{host}:{port}; everything else is tunnelled and never decrypted"),
            ("CA", f"{proxy.ca_pem or 'none: nothing is decrypted'}"),
            ("metrics", exposition.url),
            ("certified", f"by {self.certificate.digest[:19]}" if self.certificate else "no: see shaper calibrate"),
            ("journal", str(self.journal_at or "none; --journal FILE keeps one")),
        ]
        click.echo(f"shaper {__version__}")
        for label, line in lines:
            click.echo(f"  {label:<9} {line}")


def _certificate(path: Path | None, policy: Policy, *, required: bool) -> Certificate | None:
    """Return the certificate; one that does not hold is refused if a valid one is required, and else told."""
    if path is None:
        if required:
            remedy = "make one with `shaper calibrate` and name it with --certificate"
            raise RefusedError("--require-calibration: there is no certificate", remedy)
        return None
    certificate = read(path)
    refusal = certificate.refusal(policy.digest, datetime.now(UTC), versions(), machine())
    if refusal and required:
        raise RefusedError(f"{path}: {refusal}", "make another one with `shaper calibrate`")
    if refusal:
        click.echo(f"{path}: {refusal}; records name it all the same", err=True)
    return certificate


def _authorities(path: Path | None) -> Path | None:
    try:
        if path:
            load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "there is no PEM certificate in it"
        raise RefusedError(f"--origin-ca: {path}: {reason}", "name a file of PEM certificates") from None
    return path


def _networks(texts: Sequence[str]) -> tuple[str, ...]:
    for text in texts:
        try:
            ip_network(text)
        except ValueError:
            problem = f'--proxy-protocol-from: "{text}" is not a network'
            raise RefusedError(problem, "write one such as 10.1.2.0/24") from None
    return tuple(texts)


def _congestion(name: str | None) -> str | None:
    known = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")
    if name and known.exists() and name not in (names := known.read_text().split()):
        raise RefusedError(f'--congestion: this kernel has no "{name}"', f"name one of {_list(names)}")
    return name


def _shown(pattern: str | Contains) -> str:
    return pattern if isinstance(pattern, str) else f"*{pattern.contains}*"


def _list(names: Any) -> str:
    return ", ".join(map(str, names))

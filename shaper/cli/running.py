"""A proxy run put together from its options: what it says at the start, how it reloads, how it ends."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from secrets import token_bytes
from typing import TYPE_CHECKING, Any, Self

import click
from cryptography.x509 import load_pem_x509_certificates

from shaper import __version__
from shaper.cli.address import settled
from shaper.cli.adoption import Adoption
from shaper.cli.certified import Certified
from shaper.cli.collector import Collector
from shaper.cli.control import Control
from shaper.cli.greeting import greeting
from shaper.cli.people import People
from shaper.policy.admission import Standing
from shaper.policy.destination import Destinations
from shaper.policy.load import PolicyError, load, quick
from shaper.policy.model import NO_SHADOW, Policy
from shaper.policy.refused import RefusedError
from shaper.policy.schedule import Schedule
from shaper.policy.units import parse_duration, parse_moment, parse_share
from shaper.policy.verdict import Person
from shaper.proxy.server import ConnectTo, Proxy, Settings
from shaper.record.exposition import serve
from shaper.record.journal import Journal
from shaper.record.log import begin as begin_log
from shaper.record.metrics import Metrics

if TYPE_CHECKING:
    from shaper.cli.volunteering import Volunteering

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
    certified: Certified
    tolerance: float | None
    people: People | None
    control: Control | None
    drain: float

    @classmethod
    def prepare(cls, **options: Any) -> Self:
        """Check all options before anything is started."""
        source: Path | None = options["policy"]
        if bool(source) == bool(options["limits"]):
            raise RefusedError("--policy, --limit: one of them is needed, and not both", "name a policy file")
        if options["volunteers"]:
            options |= {name: settled(options[name]) for name in ("listen", "site", "control") if options[name]}
        policy = load(source) if source else quick(options["limits"])
        if options["arm"] and options["arm"] not in policy.arms:
            remedy = f"name one of {_list(policy.arms)}" if policy.arms else "leave it out"
            raise RefusedError(f'--arm: the policy has no arm "{options["arm"]}"', remedy)
        start = _parsed("--at", parse_moment, options["at"])
        if options["speed"] and not start:
            raise RefusedError("--speed: there is no time that could move on", "name one with --at")
        certified = Certified.by(options["certificate"], required=options["require_calibration"])
        certified.check(policy)
        settings = Settings(
            listen=options["listen"],
            require_auth=options["require_auth"],
            destinations=_destinations(options),
            ca_dir=options["ca_dir"] or Path.home() / ".shaper" / policy.study,
            ca_days=options["ca_days"],
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
            shadows=_shadows(policy, options["shadows"]),
            metrics_at=options["metrics"],
            journal_at=options["journal"],
            certified=certified,
            tolerance=_parsed("--self-check", parse_share, options["self_check"]),
            people=People.of(options),
            control=Control.of(options) if options["control"] else None,
            drain=_parsed("--drain", parse_duration, options["drain"]) or 0.0,
        )

    async def serve(self) -> None:
        """Run until SIGTERM or SIGINT."""
        begin_log()
        loop, stop, proxy = asyncio.get_running_loop(), asyncio.Event(), None
        metrics, collector = Metrics(), Collector()
        with ExitStack() as stack:
            exposition = serve(metrics, *self.metrics_at)
            stack.callback(exposition.close)
            volunteers = None
            if self.people:
                from shaper.cli.volunteering import Volunteering  # noqa: PLC0415 - a quick start for labs without

                volunteers = Volunteering(
                    self.people, self.policy, self.settings, journal=self.journal_at, metrics=metrics, stack=stack
                )
            journal = Journal(self.journal_at, metrics) if self.journal_at else None
            stack.callback(self._flush, journal)
            try:
                proxy = self._proxy(metrics, journal, volunteers)
                proxy.shaping.when_alone = collector.tidy
                await proxy.start()
                if volunteers:
                    volunteers.proxy = proxy
                adoption = Adoption(self.source, self.certified, proxy, volunteers)
                with ExitStack() as control:
                    if self.control:
                        self.control.serve(self, adoption, control)
                    for number in (signal.SIGTERM, signal.SIGINT):
                        loop.add_signal_handler(number, stop.set)
                    loop.add_signal_handler(signal.SIGHUP, _reload, adoption, journal)
                    click.echo(f"shaper {__version__}")
                    for label, said in greeting(self, proxy, exposition.url):
                        click.echo(f"  {label:<9} {said}")
                    collector.begin()
                    await stop.wait()
                click.echo(f"Stopping: no new connections; what is under way has {self.drain:g} s.", err=True)
                for number in (signal.SIGTERM, signal.SIGINT):
                    loop.remove_signal_handler(number)
            finally:
                if proxy:
                    await proxy.stop(self.drain)

    def _proxy(self, metrics: Metrics, journal: Journal | None, volunteers: "Volunteering | None") -> Proxy:
        """Put the proxy together. Where there are volunteers, who is not known to be one takes no part."""
        roster = volunteers.roster if volunteers else None
        proxy = Proxy(
            self.policy,
            volunteers.settings if volunteers else self.settings,
            volunteers.recorders(journal) if volunteers else [journal] if journal else [],
            metrics,
            registry=roster,
            standing=None if roster else Standing(self.person),
            schedule=self.schedule,
            shadows=self.shadows,
            key=roster.assignment_key if roster else token_bytes(32),
        )
        proxy.shaping.tolerance = self.tolerance
        if certificate := self.certified.certificate:
            proxy.shaping.certificate = certificate.digest
            metrics.calibration(certificate.valid_until.timestamp(), certificate.digest)
        return proxy

    def _flush(self, journal: Journal | None) -> None:
        if journal and not journal.close():
            log.error("%s: not every line could be written", self.journal_at)


def _reload(adoption: Adoption, journal: Journal | None) -> None:
    """Load the file again, and reopen the journal. Whatever is wrong with the file, the running policy stays."""
    if journal:
        journal.reopen()
    try:
        policy = adoption.reload()
    except (PolicyError, RefusedError) as error:
        click.echo(f"Not reloaded, the running policy stays: {error}", err=True)
    else:
        click.echo(f"Reloaded: study {policy.study}, {policy.digest[:19]}", err=True)


def _destinations(options: Mapping[str, Any]) -> Destinations:
    """Everything public, and what is allowed by name; never our own ports, on whatever address of this machine."""
    listening = [options[name] for name in ("listen", "metrics", "site", "control") if options[name]]
    own = {address for host in (*(host for host, _ in listening), socket.gethostname()) for address in _addresses(host)}
    return Destinations.parse(options["allow_destination"], own, [port for _, port in listening if port])


def _addresses(host: str) -> set[str]:
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(host, None)}
    except OSError:
        return set()


def _parsed[T](option: str, parse: Callable[[object], T], text: str | None) -> T | None:
    """Return what an option says, if it is given, or refuse it by its name."""
    try:
        return parse(text) if text else None
    except RefusedError as error:
        raise RefusedError(f"{option}: {error.problem}", error.remedy) from None


def _shadows(policy: Policy, paths: Sequence[Path]) -> list[Policy]:
    """Load the policies that are only computed. Their estimates are told apart by study."""
    shadows = [load(path) for path in paths]
    studies = [policy.study, *(shadow.study for shadow in shadows)]
    for path, shadow in zip(paths, shadows, strict=True):
        if studies.count(shadow.study) > 1:
            raise RefusedError(f'--shadow: {path}: another policy here has the study "{shadow.study}"', "rename one")
        if shadow.polices:
            raise RefusedError(f"--shadow: {path}: {NO_SHADOW}", "name a variant that is smooth or has windows")
    return shadows


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


def _list(names: Any) -> str:
    return ", ".join(map(str, names))

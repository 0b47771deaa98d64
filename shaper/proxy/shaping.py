"""What every stream and tunnel asks: the verdict, the buckets, the timer, the sinks. One object a proxy."""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from secrets import token_bytes

from shaper.pacing.limit import Manner
from shaper.pacing.pacer import Pacer
from shaper.pacing.scope import BucketTable
from shaper.policy.admission import Admitted, Standing, admit
from shaper.policy.dry_run import Recent
from shaper.policy.judge import Judge
from shaper.policy.model import Direction, Latency, Policy
from shaper.policy.schedule import Schedule, in_force
from shaper.policy.verdict import Facts, Reason, Verdict
from shaper.proxy.channel import Levels
from shaper.proxy.clock import monotonic, wall
from shaper.proxy.police import Police, order_of
from shaper.proxy.shadow import Shadow, Stage
from shaper.proxy.ticker import Ticker
from shaper.proxy.visitor import Visitor
from shaper.record.fallback import Fallback
from shaper.record.live import LiveTransfer
from shaper.record.metrics import Metrics
from shaper.record.transfer import Outcome, Recorder

logger = logging.getLogger(__name__)


PAUSED = Standing(exempt=Reason.PAUSED)

type Settle = Callable[[Callable[[bool], None]], None]
"""Ends the policing of a connection for one transfer; calls back when the client has all of it, or (False) is gone."""


@dataclass
class Shaping:
    """A reload replaces the judge; transfers under way keep their verdict and their policy."""

    judge: Judge
    metrics: Metrics
    recorders: Sequence[Recorder] = ()
    schedule: Schedule = field(default_factory=Schedule)
    key: bytes = field(default_factory=lambda: token_bytes(32))
    certificate: str | None = None
    tolerance: float | None = None  # share by which a rate may be off its cap before its record is flagged
    police: Police | None = None
    paused: bool = False  # everything passes, undecrypted and unshaped
    recent: Recent = field(default_factory=Recent)
    shadows: Sequence[Judge] = ()  # policies that are only computed
    buckets: BucketTable = field(default_factory=BucketTable)
    shadow_buckets: BucketTable = field(default_factory=BucketTable)
    stage: Stage = field(default_factory=Stage)
    levels: Levels = field(default_factory=Levels)
    live: set[LiveTransfer] = field(default_factory=set)
    when_alone: Callable[[], object] = lambda: None  # called some seconds after the last client left
    idle: asyncio.Event = field(default_factory=asyncio.Event)  # set while no transfer is under way
    _ticker: Ticker | None = None
    _generators: dict[Latency, random.Random] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.idle.set()

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self.judge.policy

    @property
    def ticker(self) -> Ticker:
        """The proxy's timer, made with the event loop."""
        if self._ticker is None:
            self._ticker = Ticker(self.metrics.loop_lag)
        return self._ticker

    @property
    def quantum(self) -> float:
        """Seconds of rate in one piece of a slow transfer, as it is under the present load."""
        return 0.020 * (self._ticker.stretch if self._ticker else 1.0)

    def swap(self, policy: Policy) -> None:
        """Put another policy in force."""
        self.enforce(policy)
        self.judge = Judge(policy, self.key)
        self.metrics.policy_loaded(policy, [judge.policy for judge in self.shadows])

    def enforce(self, policy: Policy) -> None:
        """Prepare the kernel for a policy that polices. Raises RefusedError when it cannot."""
        if orders := [order for rule in policy.rules if (order := order_of(rule))]:
            self.police = self.police or Police()
            self.police.enforce(orders)

    def admit(self, hosts: Sequence[str], visitor: Visitor) -> Admitted:
        """Decide a connection by its names, the most telling first."""
        standing = self._standing(visitor)
        admitted = admit(self.judge, hosts, standing, self.now())
        self.recent.connection(hosts, standing, admitted)
        if admitted.verdict.reason is Reason.ERROR:
            self.metrics.fallback(Fallback.ADMISSION)
        return admitted

    def decide(self, facts: Facts, visitor: Visitor, *, plain: bool = False) -> Verdict:
        """Decide one message. In `plain` HTTP, without a tunnel, the rules for whole connections hold for it too."""
        standing, now = self._standing(visitor), self.now()
        if standing.exempt:
            return Verdict(standing.exempt)
        decide = self.judge.decide_plain if plain else self.judge.decide
        verdict = decide(facts, standing.person, now)
        self.recent.message(facts, standing, verdict)
        if verdict.reason is Reason.ERROR:
            self.metrics.fallback(Fallback.VERDICT)
        return verdict

    def blocked(self, host: str, visitor: Visitor) -> Verdict | None:
        """Return the verdict by which all of a host is blocked, if it is. In plain HTTP no admission says so."""
        standing = self._standing(visitor)
        verdict = self.judge.decide_connection(host, standing.person, self.now())
        if standing.exempt or not (verdict.shaped and verdict.rule and verdict.rule.block):
            return None
        self.recent.message(Facts(host), standing, verdict)
        return verdict

    def now(self) -> datetime:
        """Return the study time."""
        return self.schedule.at(wall())

    def _standing(self, visitor: Visitor) -> Standing:
        return PAUSED if self.paused else visitor.standing

    def preliminary(self, host: str, visitor: Visitor | None = None) -> Verdict:
        """Return what can be said of an exchange before its response: whether its host is a target, and it counts."""
        if visitor and (exempt := self._standing(visitor).exempt):
            return Verdict(exempt)
        target = self.judge.listing(host).target
        return Verdict(Reason.NO_RULE if target else Reason.UNTARGETED, target=target)

    def begin(
        self, visitor: Visitor, *, level: str = "media", direction: str = "down", protocol: str = "tunnel"
    ) -> LiveTransfer:
        """Open the account of one transfer."""
        transfer = LiveTransfer(
            policy=self.policy,
            start=monotonic(),
            wall=wall(),
            client=visitor.standing.person.pseudonym,
            certificate=self.certificate,
            level=level,
            direction=direction,
            client_protocol=protocol,
            origin_protocol=protocol,
        )
        self.live.add(transfer)
        self.idle.clear()
        return transfer

    def pacer(self, verdict: Verdict, visitor: Visitor, direction: str, now: float) -> Pacer:
        """Return the pacer that a verdict asks for; one without buckets when it asks for none."""
        return self._pace(verdict, visitor, direction, now, self.buckets) if verdict.shaped else Pacer(())

    def shadows_of(self, facts: Facts, verdict: Verdict, visitor: Visitor, now: float) -> list[Shadow]:
        """Return what is to be computed beside a message: the policy in force if it is a shadow, and the others."""
        person, moment = visitor.standing.person, self.now()
        others = {judge.policy.study: judge.decide_plain(facts, person, moment) for judge in self.shadows}
        return self._shadows(verdict, others, visitor, Direction.UP if facts.up else Direction.DOWN, now)

    def shadows_beside(
        self, hosts: Sequence[str], verdict: Verdict, visitor: Visitor, direction: Direction, now: float
    ) -> list[Shadow]:
        """Return what is to be computed beside one direction of a tunnel to `hosts`."""
        standing, moment = visitor.standing, self.now()
        others = {judge.policy.study: admit(judge, hosts, standing, moment).verdict for judge in self.shadows}
        return self._shadows(verdict, others, visitor, direction, now)

    def _shadows(
        self, ours: Verdict, others: Mapping[str, Verdict], visitor: Visitor, direction: Direction, now: float
    ) -> list[Shadow]:
        judged = dict(others) if ours.shaped else {self.policy.study: ours, **others}
        pacers = {
            study: self._pace(each, visitor, f"{direction} {study}", now, self.shadow_buckets, delayed=True)
            for study, each in judged.items()
            if each.towards(direction).reason in {Reason.MATCHED, Reason.SHADOW}
        }
        return [Shadow(study, pacer, self.stage) for study, pacer in pacers.items()]

    def _pace(
        self,
        verdict: Verdict,
        visitor: Visitor,
        direction: str,
        now: float,
        buckets: BucketTable,
        *,
        delayed: bool = False,
    ) -> Pacer:
        rule = verdict.rule
        if rule is None:
            return Pacer(())
        limits = [limit for limit in verdict.limits if limit.manner is not Manner.POLICE]
        chain = buckets.chain(
            rule.name, limits, connection=visitor.client.id, client=visitor.key, now=now, direction=direction
        )
        start_at = now + self._draws(rule.latency) if delayed and rule.latency else now
        freeze_after = 0 if delayed and rule.block else rule.freeze_after  # a shadow of a block ends never, too
        return Pacer(chain, free=rule.after, freeze_after=freeze_after, start_at=start_at)

    def policed(self, verdict: Verdict, writer: asyncio.StreamWriter) -> Settle | None:
        """Have the kernel police a connection if the verdict says so; return how to end that."""
        order = order_of(verdict.rule) if verdict.shaped and verdict.rule else None
        police = self.police
        if order is None or police is None:
            return None
        try:
            police.mark(writer, order)
        except OSError:
            self.metrics.fallback(Fallback.POLICE)
            return None
        return lambda then: police.settle(writer, order, self.ticker, then)

    def latency(self, verdict: Verdict) -> float:
        """Draw the delay, in seconds, that a verdict adds before the first byte."""
        if not verdict.shaped or verdict.rule is None or verdict.rule.latency is None:
            return 0.0
        return self._draws(verdict.rule.latency)

    def finish(self, transfer: LiveTransfer, outcome: Outcome) -> None:
        """Close the account and tell every sink. Transfers of hosts that are no target are only counted, not kept."""
        if transfer.finished:
            return
        self.live.discard(transfer)
        if not self.live:
            self.idle.set()
        record = transfer.finish(outcome, monotonic(), self.tolerance)
        for recorder in (self.metrics, *self.recorders):
            if recorder is not self.metrics and not record.target:
                continue
            try:
                recorder.record(record)
            except Exception:
                logger.exception("A record was lost.")
                self.metrics.fallback(Fallback.RECORD)

    def tell_state(self) -> None:
        """Bring the metrics' gauges up to date. Runs in the scraper's thread: reads, and copies what can change."""
        self.metrics.pacing(backlog=self.levels.backlog, gated=self.levels.gated, quantum=self.quantum)
        verdicts = [transfer.verdict for transfer in list(self.live)]
        self.metrics.under_way(Counter((verdict.media, verdict.shaped) for verdict in verdicts if verdict))
        self.metrics.phase(in_force(self.policy.phases, self.now()))

    def close(self) -> None:
        """Stop the timer."""
        if self._ticker:
            self._ticker.close()
        if self.police:
            self.police.close()

    def _draws(self, latency: Latency) -> float:
        generator = self._generators.setdefault(latency, random.Random(latency.seed))  # noqa: S311 - a simulation
        match latency.distribution:
            case "uniform":
                return generator.uniform(latency.mean - latency.jitter, latency.mean + latency.jitter)
            case "normal":
                return max(0.0, generator.gauss(latency.mean, latency.jitter))
        return latency.mean

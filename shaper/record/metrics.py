"""The proxy's metrics in a registry of their own. docs/metrics.md explains each of them (held true by a test).

Label values come from enums and from names in the policy, never from traffic: whatever else arrives is counted under
`unlisted`, so the number of series is bounded by the policy and not by what clients do.
Every method is safe to call from the event loop: none waits. The registry is read from another thread. What an operator
should know of at once, a bound that was reached or a fallback, is logged where it is counted, a line a minute at most.

Past 150 lines because each family's name, help and labels stand here once, in the order in which a lab reads them.
"""

import logging
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from shaper.policy.admission import Admission
from shaper.policy.destination import Refusal
from shaper.policy.media import MediaClass
from shaper.policy.model import Direction, Level, Policy
from shaper.policy.schedule import ever_in_force
from shaper.policy.verdict import Reason
from shaper.record import buckets
from shaper.record.bound import Bound
from shaper.record.fallback import Fallback
from shaper.record.families import Families
from shaper.record.journal import Loss
from shaper.record.log import SELDOM
from shaper.record.transfer import Outcome, TransferRecord, Wait

log = logging.getLogger(__name__)
log.addFilter(SELDOM)

ENUMERATED = frozenset(
    str(member)
    for members in (Admission, MediaClass, Reason, Outcome, Wait, Fallback, Bound, Direction, Loss, Refusal)
    for member in members
)
SURFACES = ("proxy", "site", "control")
REFUSALS = (400, 401, 403, 404, 405, 407, 409, 413, 415, 421, 422, 429, 500, 503)  # statuses of theirs
GUESSES = (("proxy", "407"), ("control", "401"))  # at 0 from the start, so that the first shows as a rise


class Metrics(Families):
    """A Recorder that counts, and the counters and gauges of the proxy itself."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__([*ENUMERATED, *SURFACES, *map(str, REFUSALS)])
        self._clock = clock
        self._policy: tuple[str, str, str] | None = None
        self._phases: set[str] = set()
        self._calibrated_until = 0.0
        self._make_transfer_families()
        self._make_pacing_families()
        self._make_connection_families()
        self._make_study_families()
        self._make_process_families()

    def _make_transfer_families(self) -> None:
        self._responses = self.counter(
            "responses_total",
            "Responses that ended, by verdict and outcome.",
            *("media", "rule", "reason", "arm", "phase", "outcome"),
        )
        self._bytes = self.counter(
            "response_bytes_total",
            "Response body bytes passed to clients, counted when the response ends.",
            *("media", "rule", "reason", "arm", "phase", "shaped"),
        )
        by = ("side", "media", "rule", "arm")
        self._ttfb = self.histogram(
            "response_ttfb_seconds",
            "From the request's headers to the response's (origin) or to the first body byte (client).",
            buckets.SECONDS,
            *by,
        )
        self._duration = self.histogram(
            "response_duration_seconds",
            "From the request's headers to the last byte from the origin or to the client.",
            buckets.SECONDS,
            *by,
        )
        self._held = self.histogram(
            "held_seconds",
            "Time for which the shaper held back the bytes of one shaped transfer.",
            buckets.SECONDS,
            *("media", "rule", "arm"),
        )
        self._ratio = self.histogram(
            "rate_ratio",
            "Achieved over configured rate of one paced transfer.",
            buckets.RATIO,
            *("media", "rule", "arm"),
        )
        self._waits = self.counter(
            "transfer_wait_seconds_total",
            "Client time of ended transfers by what was waited for; the waits sum to the whole.",
            *("wait", "media", "rule", "arm"),
        )
        self._shadow = self.counter(
            "shadow_delay_seconds_total",
            "Time that a shadow policy would have added to ended transfers (open-loop estimate).",
            *("policy", "media"),
        )
        self._aborts = self.counter("aborts_total", "Transfers cut short, by the side that left.", "side")
        for side in ("client", "origin"):
            self._aborts(side)

    def _make_pacing_families(self) -> None:
        self._active = self.gauge("active_transfers", "Transfers under way now.", "media", "shaped")
        self._backlog = self.gauge("backlog_bytes", "Bytes that the shaper holds now.")
        self._gated = self.gauge("gated_origins", "Origin streams held back now.")
        self._gated_seconds = self.counter("gated_seconds_total", "Time for which origin streams were held back.")
        self._quantum = self.gauge(
            "pacing_quantum_seconds", "Time between two releases of one transfer; it grows with load."
        )
        self._lag = self.histogram("loop_lag_seconds", "How late the event loop woke up.", buckets.LAG)

    def _make_connection_families(self) -> None:
        self._connections = self.counter(
            "connections_total", "Connections to hosts, by admission.", "admission", "reason"
        )
        self._tunnelled = self.counter(
            "tunnel_bytes_total", "Bytes relayed without decryption.", *("direction", "rule", "arm", "phase")
        )
        self._fallbacks = self.counter(
            "fallbacks_total", "Traffic passed unshaped because a part of the shaper failed.", "reason"
        )
        for reason in Fallback:
            self._fallbacks(reason)
        self._refused = self.counter(
            "refused_destinations_total", "Connections not made: the proxy does not connect there.", "reason"
        )
        for refusal in Refusal:
            self._refused(refusal)
        self._refused_requests = self.counter(
            "refused_requests_total",
            "Requests that the site or the control API refused, and wrong credentials at the proxy.",
            "surface",
            "status",
        )
        for surface, status in GUESSES:
            self._refused_requests(surface, status)
        self._bounds = self.counter(
            "bounds_total", "Times that a bound was reached and what exceeded it ended.", "bound"
        )
        for bound in Bound:
            self._bounds(bound)

    def _make_study_families(self) -> None:
        self._policy_info = self.gauge("policy_info", "1 for the policy in force.", "study", "digest", "mode")
        self._reload_success = self.gauge("reload_success", "1 when the last load of a policy worked.")
        self._reload_time = self.gauge("reload_timestamp_seconds", "When a policy last came into force, in Unix time.")
        self._reloads = self.counter("reloads_total", "Loads of a policy, by result.", "result")
        for result in ("ok", "refused"):
            self._reloads(result)
        self._phase = self.gauge("phase_active", "1 for a phase in force, 0 for any other.", "phase")
        self.gauge("calibration_valid", "1 while the calibration certificate holds.").set_function(
            lambda: float(self._clock() < self._calibrated_until)
        )
        self._calibration_expiry = self.gauge(
            "calibration_expiry_timestamp_seconds", "When the certificate ends, in Unix time; 0 without one."
        )
        self._calibration_info = self.gauge("calibration_info", "1 for the calibration certificate in force.", "digest")
        self._volunteers = self.gauge(
            "volunteers", "Volunteers: joined, active now, with consent about to expire.", "state"
        )
        self._assigned = self.gauge("volunteers_assigned", "Volunteers joined, by arm.", "arm")
        self._journal_lines = self.counter("journal_lines_total", "Lines written to the journal.")
        self._journal_errors = self.counter(
            "journal_errors_total", "Journal lines lost (queue-full, closed) or writes that failed.", "reason"
        )
        for loss in Loss:
            self._journal_errors(loss)

    def _make_process_families(self) -> None:
        self.gauge("build_info", "1; the versions at work.", "version", "mitmproxy", "python").labels(
            _version("shaper"), _version("mitmproxy"), platform.python_version()
        ).set(1)
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    # Transfers

    def record(self, record: TransferRecord) -> None:
        """Count one finished transfer. Responses have families of their own; tunnels and uploads share the rest."""
        media, rule, arm = self.vetted(record.media), self.vetted(record.rule), self.vetted(record.arm)
        if record.level == Level.MEDIA and record.direction == Direction.DOWN:
            self._record_response(record, media, rule, arm)
        elif record.level == Level.CONNECTION:
            self.tunnel_bytes(record.direction, record.size, record.rule, record.arm, record.phase)
        for wait, seconds in record.waits():
            self._waits(wait, media, rule, arm).inc(seconds)
        if record.reason == Reason.MATCHED:
            self._held(media, rule, arm).observe(record.held, {"record": record.id})
        if record.rate_ratio is not None:
            self._ratio(media, rule, arm).observe(record.rate_ratio, {"record": record.id})
        for policy, seconds in (record.estimate or {}).items():
            self._shadow(self.vetted(policy), media).inc(seconds)
        if record.outcome in (Outcome.CLIENT_ABORT, Outcome.ORIGIN_ABORT):
            self._aborts("client" if record.outcome is Outcome.CLIENT_ABORT else "origin").inc()

    def _record_response(self, record: TransferRecord, media: str, rule: str, arm: str) -> None:
        reason, phase = self.vetted(record.reason), self.vetted(record.phase)
        shaped = _flag(record.reason == Reason.MATCHED)
        self._responses(media, rule, reason, arm, phase, self.vetted(record.outcome)).inc()
        self._bytes(media, rule, reason, arm, phase, shaped).inc(record.size)
        exemplar = {"record": record.id}
        for family, side, seconds in (
            (self._ttfb, "origin", record.origin_ttfb),
            (self._ttfb, "client", record.client_ttfb),
            (self._duration, "origin", record.origin_duration),
            (self._duration, "client", record.duration),
        ):
            if seconds is not None:
                family(side, media, rule, arm).observe(seconds, exemplar)

    def under_way(self, transfers: Mapping[tuple[str, bool], int]) -> None:
        """Note how many transfers there are now, by media and whether they are shaped."""
        for media in MediaClass:
            for shaped in (True, False):
                self._active.labels(media, _flag(shaped)).set(transfers.get((media, shaped), 0))

    # Pacing

    def pacing(self, *, backlog: int, gated: int, quantum: float) -> None:
        """Note the bytes and the origin streams held now, and the seconds between two releases."""
        self._backlog.set(backlog)
        self._gated.set(gated)
        self._quantum.set(quantum)

    def gate_opened(self, seconds: float) -> None:
        """Note that one origin stream flows again (or ended) after `seconds` held back."""
        self._gated_seconds().inc(seconds)

    def loop_lag(self, seconds: float) -> None:
        self._lag().observe(max(seconds, 0.0))

    # Connections

    def connection(self, admission: Admission, reason: Reason) -> None:
        self._connections(self.vetted(admission), self.vetted(reason)).inc()

    def tunnel_bytes(
        self, direction: Direction | str, size: int, rule: str = "", arm: str = "", phase: str = ""
    ) -> None:
        self._tunnelled(*map(self.vetted, (direction, rule, arm, phase))).inc(size)

    def fallback(self, reason: Fallback) -> None:
        self._fallbacks(self.vetted(reason)).inc()
        log.warning("fell back to passing traffic unshaped (docs/metrics.md): %s", self.vetted(reason))

    def destination_refused(self, reason: Refusal) -> None:
        self._refused(self.vetted(reason)).inc()

    def bounded(self, bound: Bound) -> None:
        self._bounds(self.vetted(bound)).inc()
        if bound is not Bound.IDLE:  # which closes connections as any server does
            log.warning("a bound was reached (docs/robustness.md): %s", self.vetted(bound))

    def request_refused(self, surface: str, status: int) -> None:
        """Note that the volunteers' site or the control API refused a request, or the proxy somebody's credentials."""
        self._refused_requests(self.vetted(surface), self.vetted(str(status))).inc()

    # Study

    def policy_loaded(self, policy: Policy, shadows: Iterable[Policy] = ()) -> None:
        """Note the policy that is now in force. Names of earlier ones stay listed: their transfers may be under way."""
        for each in (policy, *shadows):
            self._listed.update((each.study, *each.arms))
            self._listed.update(rule.name for rule in each.rules)
            self._listed.update(phase.name for phase in each.phases)
            self._listed.update("+".join(together) for together in ever_in_force(each.phases))
        info = (policy.study, policy.digest, str(policy.mode))
        self._policy_info.labels(*info).set(1)
        if self._policy not in (None, info):
            self._policy_info.remove(*self._policy)
        self._policy = info
        phases = {phase.name for phase in policy.phases}
        for gone in self._phases - phases:
            self._phase.remove(gone)
        for new in phases - self._phases:
            self._phase.labels(new).set(0)
        self._phases = phases
        self._reloads("ok").inc()
        self._reload_success.set(1)
        self._reload_time.set(self._clock())

    def policy_refused(self) -> None:
        """Note that a policy could not be loaded; the one in force, if any, goes on."""
        self._reloads("refused").inc()
        self._reload_success.set(0)

    def phase(self, names: Iterable[str]) -> None:
        """Note which of the policy's phases are in force."""
        active = set(names)
        for name in self._phases:
            self._phase.labels(name).set(name in active)

    def calibration(self, valid_until: float | None, digest: str = "") -> None:
        """Note the certificate in force and when it ends (Unix time), or that there is none."""
        self._calibrated_until = valid_until or 0.0
        self._calibration_expiry.set(self._calibrated_until)
        self._calibration_info.clear()
        if valid_until is not None:
            self._calibration_info.labels(digest).set(1)

    def volunteers(self, *, joined: int, active: int, expiring: int, arms: Mapping[str, int]) -> None:
        """Note how many people take part: counts only."""
        for state, count in (("joined", joined), ("active", active), ("expiring", expiring)):
            self._volunteers.labels(state).set(count)
        self._assigned.clear()
        for arm, count in arms.items():
            self._assigned.labels(self.vetted(arm)).set(count)

    def journal_written(self, lines: int) -> None:
        self._journal_lines().inc(lines)

    def journal_failed(self, loss: Loss, count: int = 1) -> None:
        self._journal_errors(self.vetted(loss)).inc(count)


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _version(package: str) -> str:
    with suppress(PackageNotFoundError):
        return version(package)
    return "unknown"

"""Policies in plain words, for people at a terminal: what a rule does, why it does not apply, what a verdict means."""

from collections.abc import Sequence

from shaper.pacing.limit import Manner, Scope
from shaper.policy.admission import Admission
from shaper.policy.judge import Case, Obstacle
from shaper.policy.model import Block, Cap, Direction, Latency, Level, Rule
from shaper.policy.units import EXACT, format_duration, format_rate, format_share, format_size
from shaper.policy.verdict import Reason

_SHARERS = {
    Scope.RESPONSE: "each response",
    Scope.CONNECTION: "each connection",
    Scope.CLIENT: "each client",
    Scope.AGGREGATE: "all clients together",
}
_BLOCKS = {Block.REFUSE: "refused", Block.RESET: "cut off"}
_DIRECTIONS = {Direction.DOWN: "", Direction.UP: "uploads", Direction.BOTH: "both ways"}

ADMISSIONS = {
    Admission.INTERCEPT: "intercepted: decrypted, and each response judged by its media",
    Admission.SHAPE: "handled as a whole: never decrypted",
    Admission.TUNNEL: "tunnelled: never decrypted, never slowed",
    Admission.REFUSE: "refused: no connection is made",
}

REASONS = {
    Reason.MATCHED: "the rule applies",
    Reason.UNCAPPED: "passes: the rule that decides asks nothing of it",
    Reason.SHADOW: "passes: the policy is a shadow, which only computes what slowing would have cost",
    Reason.NO_RULE: "passes: no rule is about it",
    Reason.UNTARGETED: "passes: no target lists the host",
    Reason.NEVER: "passes: the host must never be touched",
    Reason.ARM: "passes: the rules are for other arms",
    Reason.ACCESS: "passes: the rules are for other kinds of access",
    Reason.ROLLOUT: "passes: the rollout does not reach this client",
    Reason.PHASE: "passes: no phase that the rules name is in force",
    Reason.BODILESS: "passes: it has no body",
    Reason.UPGRADE: "passes: the connection changes to another protocol",
    Reason.EVENT_STREAM: "passes: server-sent events are never slowed",
    Reason.NO_CONSENT: "passes: this client has not consented",
    Reason.PAUSED: "passes: this client has paused",
    Reason.OVER_BUDGET: "passes: this client's budget is spent",
    Reason.ERROR: "passes: deciding failed, which is a defect in shaper",
}


def effects(rule: Rule) -> list[str]:
    """Return what the rule does, one line each."""
    lines = [_cap(cap) for cap in rule.caps]
    if rule.after:
        lines.append(f"first {format_size(rule.after, EXACT)} free")
    if rule.freeze_after is not None:
        lines.append(f"nothing more after {format_size(rule.freeze_after, EXACT)}")
    if rule.latency:
        lines.append(_latency(rule.latency))
    if rule.block:
        lines.append(_BLOCKS[rule.block])
    if lines and (direction := _DIRECTIONS[rule.direction]):
        lines.append(direction)
    return lines or ["nothing: a control"]


def _cap(cap: Cap) -> str:
    rate, sharers = format_rate(cap.rate, EXACT), _SHARERS[cap.scope]
    if cap.manner is Manner.WINDOW:
        return f"{rate} for {sharers}, given at once every {format_duration(cap.window, EXACT)}"
    how = "delayed smoothly" if cap.manner is Manner.SMOOTH else "packets dropped"
    return f"{rate} for {sharers}, burst {format_size(cap.burst, EXACT)}, {how}"


def _latency(latency: Latency) -> str:
    mean, jitter = format_duration(latency.mean, EXACT), format_duration(latency.jitter, EXACT)
    spread = {"constant": "", "uniform": f", give or take {jitter}", "normal": f", standard deviation {jitter}"}
    return f"first byte {mean} later{spread[latency.distribution]}"


def objection(rule: Rule, obstacle: Obstacle, case: Case) -> str:
    """Return why the rule does not apply to the case."""
    about = "single responses" if rule.level is Level.MEDIA else "whole connections"
    loads = "uploads" if rule.direction is Direction.UP else "downloads"
    return {
        Obstacle.LEVEL: f"is about {about}",
        Obstacle.DIRECTION: f"is about {loads}",
        Obstacle.MEDIA: f"is about {_any(rule.media)}; this is {case.media}",
        Obstacle.ACCESS: f"is for {_any(rule.access)} access; this client's is {case.access or 'unknown'}",
        Obstacle.ARM: f"is for arm {_any(rule.arms)}; this client's is {case.arm or 'none'}",
        Obstacle.PHASE: f"is for phase {_any(rule.phases)}; in force: {', '.join(case.phases) or 'none'}",
        Obstacle.ROLLOUT: f"reaches {format_share(rule.rollout)} of clients; this one is not among them",
    }[obstacle]


def _any(names: Sequence[str]) -> str:
    return " or ".join(names)

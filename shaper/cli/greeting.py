"""What a proxy says when it is up: what it does, and where everything is. Its last line is about the journal."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from shaper.cli.address import written
from shaper.policy.model import Contains, Mode
from shaper.policy.words import effects, objection
from shaper.proxy.server import Proxy

if TYPE_CHECKING:
    from shaper.cli.running import Run


def greeting(run: "Run", proxy: Proxy, metrics: str) -> Iterator[tuple[str, str]]:
    """Yield labels and what is to be said under them."""
    policy = run.policy
    yield "study", f"{policy.study}, {policy.digest[:19]}, {policy.mode}"
    if start := run.schedule.start:
        pace = f"{run.schedule.speed:g} times as fast as the clock" if run.schedule.speed else "and stays so"
        yield "time", f"{start:%Y-%m-%dT%H:%M:%SZ}, {pace}"
    yield "targeted", ", ".join(str(host) for target in policy.targets.values() for host in target.hosts)
    case = proxy.shaping.judge.connection_case("", run.person, proxy.shaping.now())
    for rule in policy.rules:
        what = ", ".join(rule.media) or "whole connections"
        if not run.people and (obstacle := case.obstacle_in_client(rule)):  # volunteers differ in what holds for them
            yield "idle", f"{rule.name} {objection(rule, obstacle, case)}"
        else:
            yield (
                "slowed" if policy.mode is Mode.ENFORCE else "computed",
                f"{rule.name}: {what}: {'; '.join(effects(rule))}",
            )
    for host in policy.intercepted:
        if isinstance(host, Contains):
            yield "relayed", f"{host}: no CA can be confined to it: name hosts, or slow whole connections"
    for shadow in run.shadows:
        yield "shadow", f"{shadow.study}: computed only, delays nothing"
    yield "proxy", f"{written(proxy.address)}; everything else is tunnelled and never decrypted"
    yield "CA", str(proxy.ca_pem or "none: nothing is decrypted")
    yield "metrics", metrics
    yield "certified", f"by {run.certified.digest[:19]}" if run.certified.digest else "no: see shaper calibrate"
    if run.people:
        yield "site", run.people.own
    if run.control:
        yield "control", f"http://{written(run.control.listen)}"
    yield "journal", str(run.journal_at or "none; --journal FILE keeps one")

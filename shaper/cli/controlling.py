"""The running proxy as the control API sees it. The API's threads ask; the event loop answers."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from shaper import __version__
from shaper.cli.address import written
from shaper.cli.adoption import Adoption
from shaper.onboarding.control.controls import Status, Underway
from shaper.policy.dry_run import Seen
from shaper.policy.judge import Judge
from shaper.policy.model import Policy
from shaper.policy.refused import RefusedError
from shaper.policy.schedule import Schedule, in_force
from shaper.proxy.clock import monotonic

PATIENCE = 10.0
"""Seconds that a caller waits for the event loop."""


class Controlling:
    """Implements `onboarding.control.controls.Controls`."""

    def __init__(self, adoption: Adoption) -> None:
        self._proxy = adoption.proxy
        self._adoption = adoption
        self._loop = asyncio.get_running_loop()
        self._started = datetime.now(UTC)
        self._running_schedule = self._proxy.shaping.schedule
        self._held: str | None = None

    def status(self) -> Status:
        """Return the proxy at a glance."""
        shaping = self._proxy.shaping
        return Status(
            version=__version__,
            listen=written(self._proxy.address),
            started=self._started.isoformat(timespec="seconds"),
            study=shaping.policy.study,
            policy=shaping.policy.digest,
            mode=shaping.policy.mode,
            phases=in_force(shaping.policy.phases, shaping.now()),
            held_phase=self._held,
            paused=shaping.paused,
            transfers=len(shaping.live),
            backlog=shaping.levels.backlog,
        )

    def policy(self) -> Policy:
        """Return the policy in force."""
        return self._proxy.shaping.policy

    def judge(self, policy: Policy | None = None) -> Judge:
        """Return the judge in force, or one for another policy under the same study key."""
        shaping = self._proxy.shaping
        return Judge(policy, shaping.key) if policy else shaping.judge

    def recent(self) -> Iterable[Seen]:
        """Return the latest decisions' questions."""
        return self._on_loop(lambda: list(self._proxy.shaping.recent))

    def study_time(self) -> datetime:
        """Return the present study time."""
        return self._proxy.shaping.now()

    def apply(self, policy: Policy) -> None:
        """Put another policy in force."""
        self._on_loop(lambda: self._adoption.adopt(policy))

    def reload(self) -> Policy:
        """Read the policy file again and put it in force."""
        return self._on_loop(self._adoption.reload)

    def set_phase(self, phase: str | None) -> None:
        """Hold study time at the beginning of a phase, or let it go on."""
        found = next((each for each in self.policy().phases if each.name == phase), None)
        if phase is not None and found is None:
            raise RefusedError(f'the policy has no phase "{phase}"', "name one that `shaper ctl policy` shows")
        schedule = Schedule(found.start) if found else self._running_schedule
        self._on_loop(lambda: setattr(self._proxy.shaping, "schedule", schedule))
        self._held = phase

    def pause(self) -> None:
        """Let everything pass."""
        self._on_loop(lambda: setattr(self._proxy.shaping, "paused", True))

    def resume(self) -> None:
        """Shape again."""
        self._on_loop(lambda: setattr(self._proxy.shaping, "paused", False))

    def transfers(self) -> Sequence[Underway]:
        """Return the transfers of targets that are under way."""

        def ask() -> list[Underway]:
            now = monotonic()
            live = [each for each in self._proxy.shaping.live if each.verdict and each.verdict.target]
            return [Underway.of(each, now) for each in live]

        return self._on_loop(ask)

    def _on_loop[T](self, ask: Callable[[], T]) -> T:
        """Ask in the event loop's thread and wait for the answer, or raise what it raised."""

        async def answer() -> T:
            return ask()

        return asyncio.run_coroutine_threadsafe(answer(), self._loop).result(PATIENCE)

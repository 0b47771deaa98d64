"""A run of a plan: one sample after another, each on disk before the next begins.

A run that was interrupted or killed goes on where it was: samples have names that follow from the plan, and those that
are there are not taken again.
"""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from shutil import copyfile

import click

from shaper.cli.apparatus import Apparatus
from shaper.cli.shipped import shipped
from shaper.measure.certificate import read as read_certificate
from shaper.measure.logbook import Logbook
from shaper.measure.order import Step, steps
from shaper.measure.plan import Plan, PlannedArm
from shaper.measure.run import Arm, Conditions, Sample
from shaper.measure.surroundings import clock, hardware, versions
from shaper.policy.load import load, load_as
from shaper.policy.model import Policy
from shaper.policy.refused import RefusedError
from shaper.policy.units import format_share


@dataclass
class Measurement:
    """One run of one plan into one directory."""

    path: Path
    output: Path | None = None
    certificate: Path | None = None
    require_calibration: bool = False
    progress: Callable[[Step, Sample | None, int, int], None] = lambda *_: None

    @cached_property
    def plan(self) -> Plan:
        """The plan, read once."""
        return load_as(Plan, self.path)

    @property
    def directory(self) -> Path:
        """Where the run is."""
        return self.output or Path("runs") / self.plan.name

    async def run(self) -> bool:
        """Take all samples that are missing; return whether the run is complete. SIGINT or SIGTERM stop it."""
        policies = {arm.name: self._policy(arm) for arm in self.plan.arms if arm.policy}
        conditions = self._conditions({name: policy for name, (_, policy) in policies.items()})
        with Logbook(self.directory, conditions, _now()) as book:
            if book.complete:
                return True
            self._keep_certificate()
            apparatus = Apparatus(self.plan, policies, self._certificate_arguments())
            async with apparatus.ready():
                stopped = await self._take_all(apparatus, book)
            if not stopped:
                book.end(_now())
            return not stopped

    async def _take_all(self, apparatus: Apparatus, book: Logbook) -> bool:
        """Take sample after sample; return whether that was interrupted. A second SIGINT leaves at once."""
        stop, loop = asyncio.Event(), asyncio.get_running_loop()

        def interrupted() -> None:
            click.echo("Stopping after this sample; once more stops at once, and takes it again later.", err=True)
            stop.set()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupted)
        todo = self.steps
        for count, step in enumerate(todo, 1):
            if step.id in book.done:
                self.progress(step, None, count, len(todo))
                continue
            if stop.is_set():
                return True
            sample, records = await apparatus.take(step)
            book.write(sample, records)
            self.progress(step, sample, count, len(todo))
            await asyncio.sleep(self.plan.washout)
        return False

    @property
    def steps(self) -> list[Step]:
        """All samples of the plan, in order."""
        plan = self.plan
        arms = [arm.name for arm in plan.arms]
        return list(steps(arms, plan.pairs, plan.blocks, plan.seed, latin=plan.order == "latin-square"))

    def _policy(self, arm: PlannedArm) -> tuple[Path, Policy]:
        """Return an arm's policy and its file: beside the plan, or shipped."""
        assert arm.policy
        is_file = "/" in arm.policy or arm.policy.endswith((".yaml", ".yml"))
        path = self.path.parent / arm.policy if is_file else shipped(arm.policy)
        if not path.exists():
            remedy = "name a file beside the plan, or a shipped policy"
            raise RefusedError(f'{self.path}: arm "{arm.name}": there is no policy "{arm.policy}"', remedy)
        policy = load(path)
        if policy.arms:
            problem = f'{self.path}: arm "{arm.name}": its policy divides clients into arms of its own'
            raise RefusedError(problem, "name a policy without arms")
        return path, policy

    def _keep_certificate(self) -> None:
        """Lay the certificate beside the samples: the report shows it."""
        kept = self.directory / "certificate.json"
        if self.certificate and self.certificate.resolve() != kept.resolve():
            copyfile(self.certificate, kept)

    def _certificate_arguments(self) -> list[str]:
        """Return what has a proxy rely on the certificate, and check itself by its tolerance."""
        required = ["--require-calibration"] if self.require_calibration else []
        if self.certificate is None:
            return required
        tolerance = format_share(read_certificate(self.certificate).tolerance.ratio)
        return [f"--certificate={self.certificate}", f"--self-check={tolerance}", *required]

    def _browser_version(self) -> dict[str, str]:
        if not any(probe.kind == "chromium" for probe in self.plan.probes):
            return {}
        from shaper.measure.chromium import version  # noqa: PLC0415 - an extra

        return {"chromium": version()}

    def _conditions(self, policies: dict[str, Policy]) -> Conditions:
        certificate = read_certificate(self.certificate).digest if self.certificate else None
        return Conditions(
            name=self.plan.name,
            plan=self.plan.digest,
            seed=self.plan.seed,
            started="",
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
            versions=versions() | self._browser_version(),
            machine=hardware(),
            clock=clock(),
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

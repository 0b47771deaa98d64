"""The handlers of the control API, by the names of their operations.

A handler takes the request's body, read, if there is one. Changes, and looks at the list of people, are in the audit
log, refused ones too.
"""

from collections import Counter

from shaper.onboarding.budget import Terms
from shaper.onboarding.control.audit import AuditLog
from shaper.onboarding.control.controls import Controls
from shaper.onboarding.control.guard import who
from shaper.onboarding.control.operation import (
    Applied,
    Audit,
    AuditVerified,
    Cell,
    ConfigurationAnswer,
    DryRun,
    Export,
    PauseBody,
    Paused,
    Person,
    PhaseBody,
    PhaseHeld,
    PolicyAnswer,
    StatusAnswer,
    Transfers,
    Volunteers,
)
from shaper.onboarding.member import Member
from shaper.onboarding.roster import Roster
from shaper.onboarding.worksheet import Configuration
from shaper.policy.dry_run import dry_run
from shaper.policy.load import loads
from shaper.policy.refused import RefusedError
from shaper.record.cells import LEAST, cells


class ConflictError(Exception):
    """What was asked is valid and does not fit the running proxy."""


class Api:
    """One method an operation."""

    def __init__(
        self,
        controls: Controls,
        configuration: Configuration,
        log: AuditLog,
        roster: Roster | None,
        refused: Counter[str],
    ) -> None:
        self._controls, self._configuration = controls, configuration
        self._log, self._roster, self._refused = log, roster, refused

    def status(self) -> StatusAnswer:
        states = Counter(str(member.state) for member in self._members())
        return StatusAnswer(proxy=self._controls.status(), volunteers=states, refused=self._refused)

    def configuration(self) -> ConfigurationAnswer:
        terms = self._roster.terms if self._roster else Terms()
        return ConfigurationAnswer(configuration=self._configuration, terms=terms)

    def policy(self) -> PolicyAnswer:
        policy = self._controls.policy()
        return PolicyAnswer(digest=policy.digest, policy=policy.model_dump(mode="json", exclude_unset=True))

    def apply(self, text: bytes) -> Applied:
        before = self._controls.policy()
        with self._log.of(who(), "apply", before=before.digest) as detail:
            policy = loads(text, "policy")
            detail["policy"] = policy.digest
            try:
                self._controls.apply(policy)
            except RefusedError as error:
                raise ConflictError(str(error)) from None
        return Applied(digest=policy.digest, replaced=before.digest)

    def dry_run(self, text: bytes) -> DryRun:
        policy, controls = loads(text, "policy"), self._controls
        before, after = controls.judge(), controls.judge(policy)
        found = dry_run(before, after, controls.recent(), controls.study_time())
        changes = [change for change in found if change.before != change.after]
        return DryRun(
            digest=policy.digest,
            in_force=before.policy.digest,
            decisions=sum(change.count for change in found),
            changed=sum(change.count for change in changes),
            changes=changes,
        )

    def reload(self) -> Applied:
        before = self._controls.policy()
        with self._log.of(who(), "reload", before=before.digest) as detail:
            try:
                policy = self._controls.reload()
            except RefusedError as error:
                raise ConflictError(str(error)) from None
            detail["policy"] = policy.digest
        return Applied(digest=policy.digest, replaced=before.digest)

    def phase(self, body: PhaseBody) -> PhaseHeld:
        with self._log.of(who(), "phase", phase=body.phase):
            self._controls.set_phase(body.phase)
        return PhaseHeld(phase=body.phase)

    def pause(self, body: PauseBody) -> Paused:
        with self._log.of(who(), "pause" if body.paused else "resume"):
            if body.paused:
                self._controls.pause()
            else:
                self._controls.resume()
        return Paused(paused=body.paused)

    def transfers(self) -> Transfers:
        return Transfers(transfers=list(self._controls.transfers()))

    def volunteers(self) -> Volunteers:
        with self._log.of(who(), "volunteers"):
            return Volunteers(
                volunteers=[
                    Person(
                        pseudonym=member.pseudonym,
                        state=member.state,
                        arm=member.arm,
                        access=member.access,
                        consent_expires=member.consent.expires if member.consent else None,
                        used_today=member.used,
                    )
                    for member in self._members()
                ]
            )

    def export(self) -> Export:
        found = cells((one.pseudonym, (str(one.state), one.arm, one.access)) for one in self._members())
        return Export(
            least=LEAST,
            cells=[
                Cell(state=state, arm=arm, access=access, volunteers=count)
                for (state, arm, access), count in sorted(found.shown.items(), key=str)
            ],
            suppressed=found.suppressed,
        )

    def audit(self, limit: int) -> Audit:
        return Audit(entries=self._log.newest(limit))

    def verify(self) -> AuditVerified:
        try:
            found = self._log.verify()
        except RefusedError as error:
            raise ConflictError(str(error)) from None
        return AuditVerified(lines=found.lines, last=found.last)

    def phases(self) -> list[str]:
        """Return the names of the policy's phases, for the page."""
        return list(dict.fromkeys(phase.name for phase in self._controls.policy().phases))

    def _members(self) -> list[Member]:
        return self._roster.members() if self._roster else []

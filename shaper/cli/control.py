"""The control API of a run: its options, and how it is put beside the proxy."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from shaper.cli.address import written
from shaper.cli.adoption import Adoption
from shaper.cli.controlling import Controlling
from shaper.cli.remote import TOKEN
from shaper.onboarding.control.audit import AuditLog
from shaper.onboarding.worksheet import Configuration

if TYPE_CHECKING:
    from shaper.cli.running import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """Where it is, and what it needs on disk. By default its audit log lies beside the CA."""

    listen: tuple[str, int]
    token: Path | None
    audit: Path | None
    allowed_destinations: tuple[str, ...]

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """Read the options."""
        return cls(
            listen=options["control"],
            token=options["control_token"],
            audit=options["audit"],
            allowed_destinations=tuple(options["allow_destination"]),
        )

    def serve(self, run: "Run", adoption: Adoption, stack: ExitStack) -> None:
        """Serve until the stack closes."""
        from shaper.onboarding.control.serving import serve_control  # noqa: PLC0415 - a quick start for runs without

        proxy, volunteers = adoption.proxy, adoption.volunteers
        directory, authority = run.settings.ca_dir, proxy.authority
        directory.mkdir(parents=True, exist_ok=True)
        audit = AuditLog(self.audit or directory / "audit.jsonl")
        stack.callback(audit.close)
        people = run.people
        configuration = Configuration(
            listen=written(proxy.address),
            require_auth=run.settings.require_auth,
            volunteers=volunteers is not None,
            organisation=people.organisation if people else "",
            contact=people.contact if people else "",
            approval=people.approval if people else "",
            journal=run.journal_at is not None,
            ca_names=tuple(map(str, authority.names)) if authority else (),
            ca_expires=authority.not_after.isoformat() if authority else None,
            allowed_destinations=self.allowed_destinations,
        )
        serving = serve_control(
            Controlling(adoption),
            configuration,
            self.listen,
            token=self.token or TOKEN,
            audit=audit,
            roster=volunteers.roster if volunteers else None,
            count=lambda status: proxy.metrics.request_refused("control", status),
        )
        stack.callback(serving.close)

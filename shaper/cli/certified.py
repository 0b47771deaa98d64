"""The calibration certificate that a run relies on, and whether it may."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import click

from shaper.measure.certificate import Certificate, read
from shaper.measure.surroundings import machine, versions
from shaper.policy.model import Policy
from shaper.policy.refused import RefusedError


@dataclass(frozen=True, slots=True)
class Certified:
    """`required` makes one that does not hold an error; else it is only told."""

    path: Path | None
    certificate: Certificate | None
    required: bool

    @classmethod
    def by(cls, path: Path | None, *, required: bool) -> Self:
        """Read the certificate, if there is one."""
        if path is None and required:
            remedy = "make one with `shaper calibrate` and name it with --certificate"
            raise RefusedError("--require-calibration: there is no certificate", remedy)
        return cls(path, read(path) if path else None, required)

    @property
    def digest(self) -> str | None:
        """What records name."""
        return self.certificate.digest if self.certificate else None

    def check(self, policy: Policy) -> None:
        """Refuse a policy for which the certificate does not hold, or say so."""
        if self.certificate is None:
            return
        refusal = self.certificate.refusal(policy, datetime.now(UTC), versions(), machine())
        if refusal and self.required:
            raise RefusedError(f"{self.path}: {refusal}", "make another one with `shaper calibrate`")
        if refusal:
            click.echo(f"{self.path}: {refusal}; records name it all the same", err=True)

"""A calibration certificate: what this proxy on this machine was found to do, until when that is to be believed.

A JSON file whose `digest` is over all the rest of it: whoever changes a figure changes the certificate's name, and
every journal line names the certificate that it was made under.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import TypeAdapter, ValidationError

from shaper.measure.calibration import Asked, Figure, Tolerance
from shaper.pacing.limit import Manner
from shaper.policy.model import Policy
from shaper.policy.refused import RefusedError
from shaper.policy.units import format_rate

VALID = timedelta(days=30)

type Schema = Literal["shaper.certificate/1"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Times are RFC 3339 with an offset."""

    schema: Schema = "shaper.certificate/1"
    made: datetime
    valid_until: datetime
    machine: str  # hardware and kernel; no name of a host
    versions: Mapping[str, str]
    policies: tuple[str, ...]  # digests of those whose caps were calibrated; none: rates of no particular policy
    tolerance: Tolerance
    figures: tuple[Figure, ...]
    lag: float  # seconds, the 99th percentile
    passed: bool
    digest: str = ""

    def sealed(self) -> Self:
        """Return the certificate with its digest."""
        return replace(self, digest=self._digest())

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_json(self), indent=1) + "\n")

    def refusal(self, policy: Policy, now: datetime, versions: Mapping[str, str], machine: str) -> str | None:
        """Return why a study under this policy must not rely on it, in a few words, or None."""
        if not self.passed:
            return "it did not pass"
        if now >= self.valid_until:
            return f"it expired on {self.valid_until:%Y-%m-%d}"
        if dict(self.versions) != dict(versions):
            return "it was made with other versions"
        if self.machine != machine:
            return "it was made on another machine"
        uncovered = next((asked for asked in asked_by(policy) if not self.covers(asked)), None)
        return f"it does not cover {format_rate(uncovered.rate)}, {uncovered.manner}" if uncovered else None

    def covers(self, asked: Asked) -> bool:
        """Tell whether this very cap was calibrated, or, for a smooth one, rates on both sides of its own.

        Those count only if they were not chosen for a policy: a policy's rates may lie far apart.
        """
        if any(figure.asked == asked for figure in self.figures):
            return True
        rates = [figure.rate for figure in self.figures if figure.manner == Manner.SMOOTH]
        smooth = asked.manner == Manner.SMOOTH and not self.policies and rates
        return bool(smooth) and min(rates) <= asked.rate <= max(rates)

    def _digest(self) -> str:
        rest = {name: value for name, value in _json(self).items() if name != "digest"}
        text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
        return "sha256:" + sha256(text.encode()).hexdigest()


def asked_by(policy: Policy) -> list[Asked]:
    """Return what a policy's caps ask of the proxy, each once. The kernel answers for those that police."""
    limits = [cap.limit for rule in policy.rules for cap in rule.caps if cap.manner is not Manner.POLICE]
    return sorted({Asked.of(limit) for limit in limits})


def read(path: Path) -> Certificate:
    """Read a certificate. One that was changed by hand, or is none, is refused in one line."""
    remedy = "make one with `shaper calibrate`"
    try:
        certificate = _ADAPTER.validate_json(path.read_bytes())
    except OSError as error:
        raise RefusedError(f"{path}: the certificate cannot be read: {error.strerror}", remedy) from None
    except ValidationError:
        raise RefusedError(f"{path}: not a calibration certificate", remedy) from None
    if certificate.digest != certificate._digest():
        raise RefusedError(f"{path}: the certificate was changed after it was made", remedy)
    return certificate


def _json(certificate: Certificate) -> dict[str, Any]:
    raw = asdict(certificate)
    raw["made"], raw["valid_until"] = certificate.made.isoformat(), certificate.valid_until.isoformat()
    return raw


_ADAPTER = TypeAdapter(Certificate)

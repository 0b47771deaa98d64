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

from shaper.measure.calibration import Figure, Tolerance
from shaper.policy.refused import RefusedError

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
    policy: str | None  # the policy's digest, or None: rates of no particular policy
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

    def refusal(self, policy: str, now: datetime, versions: Mapping[str, str], machine: str) -> str | None:
        """Return why a study under this policy must not rely on it, in a few words, or None."""
        if not self.passed:
            return "it did not pass"
        if now >= self.valid_until:
            return f"it expired on {self.valid_until:%Y-%m-%d}"
        if self.policy is not None and self.policy != policy:
            return "it is for another policy"
        if dict(self.versions) != dict(versions):
            return "it was made with other versions"
        return "it was made on another machine" if self.machine != machine else None

    def _digest(self) -> str:
        rest = {name: value for name, value in _json(self).items() if name != "digest"}
        text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
        return "sha256:" + sha256(text.encode()).hexdigest()


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

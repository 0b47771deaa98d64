"""The proxy's own account of a sample: the records that it wrote of it, and what its policy says was done.

Samples of an arm follow one another, and only they use its proxy, so the records that begin with a sample or later are
its own. They are awaited until the proxy has no transfer under way and has written nothing for a while.
"""

import asyncio
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from shaper.cli.proxy_process import ProxyProcess
from shaper.measure.run import Sample, Truth
from shaper.pacing.limit import Manner
from shaper.policy.admission import Admission, Standing, admit
from shaper.policy.judge import Judge
from shaper.policy.model import Policy
from shaper.policy.verdict import Reason
from shaper.record.journal import GATHER, parse
from shaper.record.transfer import TransferRecord

PATIENCE = 5.0
"""Seconds after which a record that did not come is given up."""

QUIET = 4 * GATHER
ACTIVE = re.compile(r"^shaper_active_transfers\{[^}]*\} (\S+)$", re.MULTILINE)
UNTOUCHED = Truth(manner="none")


@dataclass
class Witness:
    """Reads an arm's journal as its proxy writes it."""

    journal: Path
    proxy: ProxyProcess
    policy: Policy
    _read: int = 0
    _lines: list[bytes] = field(default_factory=list)

    async def account(self, sample: Sample, host: str) -> tuple[Sample, list[bytes]]:
        """Return a sample that just ended with its truth, and the journal's lines that belong to it."""
        expected = self._records(host)
        await self._settle(expected=expected)
        lines, self._lines = self._lines, []
        begun = datetime.fromisoformat(sample.started)
        pairs = ((line, parse(line)) for line in lines)
        own = [(line, record) for line, record in pairs if datetime.fromisoformat(record.time) >= begun]
        kept = [line for line, _ in own]
        if sample.browser:
            return sample, kept
        if not expected:
            return unwitnessed(sample), kept
        uploaded = sample.media == "upload"
        one = _one([record for _, record in own], "up" if uploaded else "down")
        if one is None:
            return sample, kept
        # The reads of an upload are those of its answer: no detector could tell anything from them.
        known = None if uploaded else truth(one, self.policy)
        return replace(sample, transfer=one.id, truth=known), kept

    def _records(self, host: str) -> bool:
        """Tell whether the proxy records what goes to a host: it does not, of what it only tunnels."""
        admitted = admit(Judge(self.policy), [host], Standing(), datetime.now(UTC))
        return admitted.admission in (Admission.INTERCEPT, Admission.SHAPE)

    async def _settle(self, *, expected: bool) -> None:
        """Read on until everything is in."""
        quiet_since = monotonic()
        deadline = quiet_since + PATIENCE
        while monotonic() < deadline:
            if self._take() or await asyncio.to_thread(self._active):
                quiet_since = monotonic()
            if (self._lines or not expected) and monotonic() - quiet_since >= QUIET:
                return
            await asyncio.sleep(GATHER)

    def _take(self) -> bool:
        """Read what is new; return whether there was anything."""
        with self.journal.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        self._lines += whole.splitlines(keepends=True)
        return bool(whole)

    def _active(self) -> bool:
        return any(float(count) for count in ACTIVE.findall(self.proxy.metrics()))


def unwitnessed(sample: Sample) -> Sample:
    """Return a sample that no proxy touched, with this truth."""
    return sample if sample.browser or sample.media == "upload" else replace(sample, truth=UNTOUCHED)


def truth(record: TransferRecord, policy: Policy) -> Truth:
    """Return what the policy did to a transfer: the proxy says which rule applied, the policy what it asks."""
    rule = next((rule for rule in policy.rules if rule.name == record.rule), None)
    if rule is None or not rule.caps or record.reason != Reason.MATCHED:
        return UNTOUCHED
    cap = min(rule.caps, key=lambda cap: cap.rate)
    burst = round(cap.rate / 8 * cap.window) if cap.manner is Manner.WINDOW else int(cap.burst)
    return Truth(manner=str(cap.manner), rate=cap.rate, burst=burst, scope=str(cap.scope))


def _one(records: list[TransferRecord], direction: str) -> TransferRecord | None:
    """Return the record of the one transfer that a sample consists of, or None when it cannot be told."""
    found = [record for record in records if record.direction == direction] or records
    return found[0] if len(found) == 1 else None

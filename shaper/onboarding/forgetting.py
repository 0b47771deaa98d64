"""What stands before a journal, so that a transfer that outlives its person's data is written down as nobody's."""

from dataclasses import dataclass, replace

from shaper.onboarding.presence import Presence
from shaper.record.transfer import Recorder, TransferRecord


@dataclass(frozen=True, slots=True)
class Forgetting:
    """A Recorder that passes records on, without the pseudonym of whoever is no longer on the roster."""

    roster: Presence
    recorder: Recorder

    def record(self, record: TransferRecord) -> None:
        if record.client is not None and not self.roster.known(record.client):
            record = replace(record, client=None)
        self.recorder.record(record)

"""A transfer that ends after its person's deletion is nobody's."""

from dataclasses import replace
from types import SimpleNamespace

from shaper.onboarding.forgetting import Forgetting
from shaper.record.transfer import Outcome, TransferRecord

RECORD = TransferRecord(
    id="1", time="2027-01-15T08:00:00Z", study="study", policy="sha256:0", client="ann", reason="matched",
    outcome=Outcome.COMPLETE, size=1, received=1, origin_ttfb=0.1, client_ttfb=0.1, origin_duration=0.2, duration=0.3,
    waiting=0.1, receiving=0.1, held=0.1, stalled=0.0,
)  # fmt: skip


def test_only_who_is_on_the_roster_is_named():
    written, known = [], {"ann"}
    forgetting = Forgetting(SimpleNamespace(known=known.__contains__), SimpleNamespace(record=written.append))
    for client in ("ann", "bob", None):
        forgetting.record(replace(RECORD, client=client))
    known.clear()
    forgetting.record(RECORD)
    assert written == [replace(RECORD, client=client) for client in ("ann", None, None, None)]

"""A made-up lab day, told to real Metrics as the proxy would tell it: for pictures and tests, never for results.

People in two arms load pages of text, scripts, photos and a clip. From the phase `slow` on, the treatment arm's photos
and clips are slowed to the policy's rates. All times follow from sizes, rates and a seeded generator.
"""

from collections.abc import Iterator
from random import Random

from shaper.policy.admission import Admission
from shaper.policy.model import Policy
from shaper.policy.verdict import Reason
from shaper.record.metrics import Metrics
from shaper.record.transfer import Ledger, Outcome, TransferRecord, Wait

RATES = {"photos": 150_000.0, "clips": 1_000_000.0}
POLICY = Policy.model_validate(
    {
        "version": 1,
        "study": "twitter-2021",
        "targets": {"media": {"hosts": ["*.example.net"]}},
        "arms": {"control": 1.0, "treatment": 1.0},
        "phases": [
            {"name": "before", "start": "2021-03-01T00:00:00Z", "end": "2021-03-10T07:00:00Z"},
            {"name": "slow", "start": "2021-03-10T07:00:00Z"},
        ],
        "rules": [
            {
                "name": name,
                "target": "media",
                "media": [media],
                "arms": ["treatment"],
                "phases": ["slow"],
                "caps": [{"rate": f"{RATES[name] / 1000:.0f} kbit/s", "burst": "2 KiB"}],
            }
            for name, media in (("photos", "image"), ("clips", "video"))
        ],
    }
)
RULE_OF = {"image": "photos", "video": "clips", "audio": "", "other": ""}


class Lab:
    """One proxy of the lab, with its metrics."""

    def __init__(self, metrics: Metrics, seed: int) -> None:
        self.metrics = metrics
        self._random = Random(seed)  # noqa: S311 (made up, and the same each time)
        metrics.policy_loaded(POLICY)

    def page(self, arm: str, phase: str) -> Iterator[TransferRecord]:
        """Yield what loading one page makes."""
        yield self._transfer("other", self._random.randint(8_000, 60_000), arm, phase)
        for _ in range(4):
            yield self._transfer("other", self._random.randint(2_000, 300_000), arm, phase)
        for _ in range(6):
            yield self._transfer("image", int(self._random.lognormvariate(11, 0.9)), arm, phase)
        if self._random.random() < 0.3:
            yield self._transfer("video", self._random.randint(400_000, 3_000_000), arm, phase)
        if self._random.random() < 0.1:
            yield self._transfer("audio", self._random.randint(200_000, 900_000), arm, phase)

    def _transfer(self, media: str, size: int, arm: str, phase: str) -> TransferRecord:
        random, rule = self._random, RULE_OF[media]
        slowed = bool(rule) and arm == "treatment" and phase == "slow"
        origin_ttfb = random.lognormvariate(-4.2, 0.5)
        client_ttfb = origin_ttfb + random.lognormvariate(-6.5, 0.4)
        origin_end = client_ttfb + size * 8 / random.uniform(30e6, 80e6)
        ratio = random.gauss(1.0, 0.004) if slowed else None
        rate = RATES[rule] if slowed else None
        end = origin_end if rate is None or ratio is None else client_ttfb + size * 8 / (rate * ratio)
        ledger = Ledger(0.0)
        ledger.enter(Wait.RECEIVING, origin_ttfb)
        if end > origin_end:
            ledger.enter(Wait.SHAPER, origin_end)
        ledger.enter(Wait.CLIENT, end)
        duration = ledger.close(end + random.uniform(0.0, 0.003))
        gone = random.random() < (0.05 if slowed else 0.005)
        return TransferRecord(
            id=f"{random.getrandbits(64):016x}",
            time="2021-03-10T07:00:00Z",
            study=POLICY.study,
            policy=POLICY.digest,
            arm=arm,
            phase=phase,
            target="media",
            rule=rule if slowed else "",
            media=media,
            reason=Reason.MATCHED if slowed else Reason.PHASE if rule else Reason.NO_RULE,
            rate=rate,
            outcome=Outcome.CLIENT_ABORT if gone else Outcome.COMPLETE,
            size=size,
            received=size,
            origin_ttfb=origin_ttfb,
            client_ttfb=client_ttfb,
            origin_duration=origin_end,
            duration=duration,
            waiting=ledger.seconds[Wait.ORIGIN],
            receiving=ledger.seconds[Wait.RECEIVING],
            held=ledger.seconds[Wait.SHAPER],
            stalled=ledger.seconds[Wait.CLIENT],
            achieved=rate * ratio if rate and ratio else None,
            rate_ratio=ratio,
        )

    def minute(self, phase: str, pages: int = 4) -> list[TransferRecord]:
        """Tell the metrics about one minute of the lab and return its records."""
        random, metrics = self._random, self.metrics
        metrics.phase([phase])
        records = [record for arm in POLICY.arms for _ in range(pages) for record in self.page(arm, phase)]
        for record in records:
            metrics.record(record)
        for _ in range(120):
            metrics.loop_lag(random.lognormvariate(-7, 0.7))
        slowed = random.randint(2, 9) if phase == "slow" else 0
        metrics.under_way({("image", True): slowed, ("other", False): random.randint(0, 2)})
        metrics.pacing(backlog=slowed * 96_000, gated=slowed * 2 // 3, quantum=0.02)
        metrics.gate_opened(slowed * 20.0)
        metrics.connection(Admission.INTERCEPT, Reason.MATCHED)
        for reason in (Reason.UNTARGETED, Reason.NO_CONSENT, Reason.PAUSED):
            metrics.connection(Admission.TUNNEL, reason)
        for direction in ("down", "up"):
            metrics.tunnel_bytes(direction, random.randint(10_000, 900_000))
        metrics.journal_written(len(records))
        metrics.volunteers(joined=24, active=random.randint(6, 11), expiring=2, arms={"control": 12, "treatment": 12})
        return records

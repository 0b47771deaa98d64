"""A proxy that does nothing but remember what it was told, for the tests of the control API and of its commands."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from shaper.onboarding.control.controls import Status, Underway
from shaper.onboarding.worksheet import Configuration
from shaper.policy.admission import Standing
from shaper.policy.dry_run import Recent
from shaper.policy.judge import Judge
from shaper.policy.load import loads
from shaper.policy.refused import RefusedError
from shaper.policy.verdict import Facts, Person

TOKEN = "t" * 64
CONFIGURATION = Configuration(
    listen="127.0.0.1:8080", require_auth=True, volunteers=True, organisation="A lab", contact="lab@lab.example",
    approval="Board 7/2026", journal=True, ca_names=("cdn.example",), ca_expires="2026-04-01T00:00:00Z",
)  # fmt: skip
NOW = datetime(2026, 1, 1, tzinfo=UTC)
TEXT = """\
version: 1
study: study
targets: {cdn: {hosts: [cdn.example]}}
phases: [{name: P0, start: "2021-03-10T07:00Z"}]
rules: [{name: slow, target: cdn, media: [image], caps: [{rate: 150 kbit/s}]}]
"""
VIDEO = TEXT.replace("image", "video")


@dataclass
class RememberingProxy:
    current: object = field(default_factory=lambda: loads(TEXT, "policy"))
    file: object = None
    phase: str | None = None
    paused: bool = False
    refusal: Exception | None = None
    seen: Recent = field(default_factory=Recent)
    under_way: list = field(default_factory=list)

    def picture(self):
        facts, ann = Facts("cdn.example", content_type=("image/png",)), Standing(Person(pseudonym="ann"))
        self.seen.message(facts, ann, self.judge().decide(facts, ann.person, NOW))

    def status(self):
        return Status(
            version="0", listen="127.0.0.1:8080", started="2026-01-01T00:00:00Z", study=self.current.study,
            policy=self.current.digest, mode=self.current.mode, phases=("P0",), held_phase=self.phase,
            paused=self.paused, transfers=len(self.under_way), backlog=0,
        )  # fmt: skip

    def policy(self):
        return self.current

    def judge(self, policy=None):
        return Judge(policy or self.current)

    def recent(self):
        return self.seen

    def study_time(self):
        return NOW

    def apply(self, policy):
        if self.refusal:
            raise self.refusal
        self.current = policy

    def reload(self):
        self.apply(self.file() if self.file else self.current)
        return self.current

    def set_phase(self, phase):
        if phase not in (None, "P0"):
            raise RefusedError(f'there is no phase "{phase}"', 'name "P0"')
        self.phase = phase

    def pause(self):
        self.paused = True

    def resume(self):
        self.paused = False

    def transfers(self):
        return self.under_way


def underway(**changes):
    facts = {
        "client": "ann", "target": "cdn", "rule": "slow", "reason": "matched", "media": "image", "arm": "",
        "direction": "down", "protocol": "h2", "waits_for": "shaper", "age": 2.0, "size": 37_500, "backlog": 4096,
        "rate": 150_000.0,
    }  # fmt: skip
    return Underway(**(facts | changes))

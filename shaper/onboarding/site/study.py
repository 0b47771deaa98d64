"""What a volunteer is told of the study, read from the policy in force so that text and deed cannot part."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shaper.onboarding.budget import Terms
from shaper.policy.model import Contains, Mode, Policy, Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Who asks, under which policy, and on what terms. Words of the lab's own are given once a language."""

    policy: Policy
    organisation: str
    contact: str
    title: Mapping[str, str] = field(default_factory=dict)  # language -> title; else the policy's name
    purpose: Mapping[str, str] = field(default_factory=dict)
    approval: str = ""  # which board looked at it, and under which number
    terms: Terms = field(default_factory=Terms)
    ca_days: int = 90

    def titled(self, language: str) -> str:
        return _in(self.title, language) or self.policy.study

    def purposed(self, language: str) -> str:
        return _in(self.purpose, language) or self.policy.description

    @property
    def hosts(self) -> tuple[str | Contains, ...]:
        """Return every pattern of every target, once."""
        return tuple(dict.fromkeys(host for target in self.policy.targets.values() for host in target.hosts))

    @property
    def opened(self) -> tuple[str, ...]:
        """The hosts that are decrypted. No certificate can be confined to a `contains:` pattern alone."""
        return tuple(host for host in self.policy.intercepted if isinstance(host, str))

    @property
    def opens(self) -> bool:
        """Whether anything is decrypted, so that a certificate is needed."""
        return bool(self.opened)

    @property
    def shadow(self) -> bool:
        return self.policy.mode is Mode.SHADOW

    @property
    def arms(self) -> tuple[str, ...]:
        return tuple(self.policy.arms)

    def slowing(self, arm: str | None = None) -> list[Rule]:
        """Return the rules that do something, in one arm or in any."""
        return [
            rule
            for rule in self.policy.rules
            if (rule.caps or rule.latency or rule.freeze_after is not None or rule.block)
            and (arm is None or not rule.arms or arm in rule.arms)
        ]

    def hosts_of(self, rule: Rule) -> tuple[str, ...]:
        return tuple(map(str, self.policy.targets[rule.target].hosts))


def tightest(rule: Rule) -> float | None:
    """Return the lowest rate of a rule in bits/s, or None when it caps nothing."""
    return min((cap.rate for cap in rule.caps), default=None)


def _in(words: Mapping[str, str], language: str) -> str:
    return words.get(language) or next(iter(words.values()), "")

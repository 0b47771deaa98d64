"""The collateral of a policy: hosts that its patterns reach and nobody meant. Found before anyone runs it.

A pattern means the registrable domain that it names (Public Suffix List): `*.twimg.com` means twimg.com and can reach
nothing else. Two kinds of pattern reach further: `contains:`, which matches anywhere in a name, and `*.suffix` over a
public suffix, below which anyone may own a name.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from ipaddress import ip_address

from publicsuffixlist import PublicSuffixList

from shaper.policy.host import canonical
from shaper.policy.judge import Judge
from shaper.policy.model import Contains, Policy
from shaper.policy.target import HostSet


class Kind(StrEnum):
    """What a finding says of its pattern."""

    LOOSE = "loose"  # it matches anywhere in a name
    WIDE = "wide"  # it matches every domain below a public suffix
    COLLATERAL = "collateral"  # it reaches a host of a domain that its target does not name


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with one pattern, and what to write instead."""

    kind: Kind
    target: str
    rules: tuple[str, ...]  # those about the target
    pattern: str  # as a policy file has it
    remedy: str
    host: str = ""  # COLLATERAL: the host that it reaches, as it was given

    def __str__(self) -> str:
        rules = f"rule{'s' if len(self.rules) > 1 else ''} " + ", ".join(f'"{rule}"' for rule in self.rules)
        return f"{rules}: {self.pattern} {self._problem}; {self.remedy}"

    @property
    def _problem(self) -> str:
        match self.kind:
            case Kind.LOOSE:
                return "matches anywhere in a name"
            case Kind.WIDE:
                return "matches every domain below a public suffix"
            case Kind.COLLATERAL:
                name = canonical(self.host)
                return f"reaches {self.host}" + ("" if name == self.host.lower() else f" ({name})")


def lint(policy: Policy, hosts: Iterable[str]) -> Iterator[Finding]:
    """Yield what is wrong with each pattern that a rule uses, and each of `hosts` that it reaches and should not."""
    hosts = tuple(dict.fromkeys(hosts))
    judge = Judge(policy)
    for name, target in policy.targets.items():
        rules = tuple(rule.name for rule in policy.rules if rule.target == name)
        meant = {_named(pattern) for pattern in target.hosts}
        for pattern in target.hosts:
            if not rules or (warning := _warning(pattern)) is None:
                continue
            kind, remedy = warning
            yield Finding(kind, name, rules, _shown(pattern), remedy)
            reached = HostSet((pattern,))
            for host in hosts:
                if host in reached and not judge.listing(host).never and not _owners_names(host) & meant:
                    yield Finding(Kind.COLLATERAL, name, rules, _shown(pattern), remedy, host)


def registrable(host: str) -> str:
    """Return the part of a name that someone registered; all of it if there is none, as in an address."""
    name = canonical(host)
    return name if _is_address(name) else _suffixes().privatesuffix(name) or name


def _owners_names(host: str) -> set[str]:
    """Return the names by which a pattern may mean a host's owner: twitter.com, and plain twitter."""
    domain = registrable(host)
    return {domain, domain.partition(".")[0]}


def _warning(pattern: str | Contains) -> tuple[Kind, str] | None:
    """Return how the pattern is too generous, and the remedy; nothing if it stays within one registrable domain."""
    named = _named(pattern)
    if isinstance(pattern, Contains):
        domain = _suffixes().is_private(named)
        return Kind.LOOSE, f'write "{named}" and "*.{named}"' if domain else "list the hosts that are meant"
    if pattern.startswith("*.") and _suffixes().is_public(named):
        return Kind.WIDE, f'name the domains that are meant, as in "*.example.{named}"'
    return None


def _named(pattern: str | Contains) -> str:
    """Return the registrable domain that a pattern names, or its whole text if it names none."""
    return registrable((pattern.contains if isinstance(pattern, Contains) else pattern.removeprefix("*.")).strip("."))


def _shown(pattern: str | Contains) -> str:
    return f'{{contains: "{pattern.contains}"}}' if isinstance(pattern, Contains) else f'"{pattern}"'


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()  # reads some 10,000 rules, so once

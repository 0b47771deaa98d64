"""A set of hosts, compiled so that a look-up costs the labels of the name, not the number of patterns."""

from collections.abc import Iterable

from shaper.policy.host import canonical
from shaper.policy.model import Contains


class HostSet:
    """Hosts that match any of the patterns: exact, `*.suffix` (subdomains, not itself) or Contains."""

    __slots__ = ("_exact", "_parts", "_suffixes")

    def __init__(self, patterns: Iterable[str | Contains]) -> None:
        patterns = tuple(patterns)
        names = [pattern for pattern in patterns if isinstance(pattern, str)]
        self._exact = frozenset(name for name in names if not name.startswith("*."))
        self._suffixes = frozenset(name[2:] for name in names if name.startswith("*."))
        self._parts = tuple({pattern.contains for pattern in patterns if isinstance(pattern, Contains)})

    def __contains__(self, host: str) -> bool:
        name = canonical(host)
        return name in self._exact or self._is_below(name) or any(part in name for part in self._parts)

    def _is_below(self, name: str) -> bool:
        dot = name.find(".")
        while dot >= 0:
            if name[dot + 1 :] in self._suffixes:
                return True
            dot = name.find(".", dot + 1)
        return False

"""Hosts that are never decrypted nor shaped, whatever a policy targets: where a mistake would cost somebody dearly.

`never.txt` holds them by category; a name there means itself and everything below it. It is a compilation of our own,
of well-known hosts and whole government and bank domains. It cannot be complete: the first safeguard is that only
targets are intercepted; this list is the second.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from shaper.policy.host import canonical, host_pattern

LIST = Path(__file__).with_name("never.txt")


def category(host: str) -> str | None:
    """Return why a host is never intercepted ("bank", "health", ...), or None if it may be."""
    listed, name = hosts(), canonical(host)
    while name:
        if name in listed:
            return listed[name]
        name = name.partition(".")[2]
    return None


@cache
def hosts() -> Mapping[str, str]:
    """Return the category of every listed name."""
    return parse(LIST.read_text())


def patterns() -> list[str]:
    """Return the list as a policy's `never` would have it."""
    return [pattern for name in hosts() for pattern in (name, f"*.{name}")]


def parse(text: str) -> dict[str, str]:
    """Read `[category]` lines, each followed by names, with `#` comments."""
    listed, now_in = {}, ""
    for line in text.splitlines():
        entry = line.partition("#")[0].strip()
        if entry.startswith("["):
            now_in = entry.strip("[]")
        elif entry:
            listed[host_pattern(entry)] = now_in
    return listed

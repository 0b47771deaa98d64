"""Host names as they are compared: lower-case ASCII (IDNA), no port, no trailing dot, no brackets.

`canonical` serves traffic and is total. `host_pattern` and `host_part` serve policy files and refuse what could
never match.
"""

import re
from functools import lru_cache
from ipaddress import ip_address

import idna

from shaper.policy.refused import RefusedError, shown

LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
PART = re.compile(r"[a-z0-9._-]{1,253}")
ADDRESS_LIKE = re.compile(r"[0-9a-f:.]*:[0-9a-f:.]*|[0-9.]+")


def canonical(host: str) -> str:
    """Return the name or address in the one form in which hosts are compared. Never raises."""
    if host.isascii() and ":" not in host:
        return host.lower().rstrip(".")
    return _canonical(host[:1024])


@lru_cache(maxsize=1024)
def _canonical(host: str) -> str:
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    return _address(host) or _ascii(host.rstrip(".")) or host.lower().rstrip(".")


def host_pattern(text: str) -> str:
    """Return an exact host or a `*.suffix` in canonical form, or raise RefusedError."""
    star, name = ("*.", text[2:]) if text.startswith("*.") else ("", text)
    if not star and (address := _address(name[1:-1] if name[:1] + name[-1:] == "[]" else name)):
        return address
    ascii_name = _ascii(name.rstrip("."))
    if ascii_name and not ADDRESS_LIKE.fullmatch(ascii_name):
        return star + ascii_name
    raise RefusedError(f"{shown(text)} is not a host pattern", _remedy(text))


def host_part(text: str) -> str:
    """Return the text of a `contains:` pattern in canonical form, or raise RefusedError."""
    if PART.fullmatch(text.lower()):
        return text.lower()
    raise RefusedError(
        f"{shown(text)} cannot be part of a host name",
        'write only ASCII letters, digits, ".", "_" and "-" (names beyond ASCII travel as "xn--...")',
    )


def _ascii(name: str) -> str:
    """Return the name in lower-case ASCII, or nothing if it is not one."""
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode()
        except (idna.IDNAError, UnicodeError):
            return ""
    name = name.lower()
    return name if len(name) <= 253 and all(map(LABEL.fullmatch, name.split("."))) else ""


def _address(text: str) -> str:
    """Return the IP address in its shortest form, or nothing if it is not one."""
    if not ADDRESS_LIKE.fullmatch(text.lower()):
        return ""
    try:
        return ip_address(text).compressed
    except ValueError:
        return ""


def _remedy(text: str) -> str:
    bare = re.sub(r"^[a-z]+://|[/?#].*$|:[0-9]+.*$", "", text.strip().lower())
    part = bare.strip("*").strip(".")
    if "*" in bare and PART.fullmatch(part) and bare != f"*.{part}":
        return f'write "*.{part}" for its subdomains, "{part}" for itself, or {{contains: "{bare.strip("*")}"}}'
    if bare != text and _ascii(bare.removeprefix("*.")):
        return f'write only the host, "{bare}"'
    return 'write for example "example.org", "*.example.org" or {contains: "example"}'

"""The proxy auto-configuration file: only the study's hosts go to the proxy, everything else goes as before.

It says the same as `policy.target` in the only language that browsers understand here. When the proxy is away the
hosts load directly: a study must not break somebody's browser.
"""

import json
from collections.abc import Iterable

from shaper.policy.host import canonical
from shaper.policy.model import Contains

MIME = "application/x-ns-proxy-autoconfig"

_SCRIPT = """\
// Sends only the hosts of this study to its proxy. Everything else goes as if this file did not exist.
function listed(host, patterns) {{
  return patterns.some(function (pattern) {{
    if (pattern[0] === "contains") return host.indexOf(pattern[1]) >= 0;
    if (pattern[0] === "below") return host.slice(-pattern[1].length) === pattern[1];
    return host === pattern[1];
  }});
}}
function FindProxyForURL(url, host) {{
  host = host.toLowerCase().replace(/\\.$/, "");
  if (listed(host, {never})) return "DIRECT";
  if (listed(host, {hosts})) return "PROXY {proxy}; DIRECT";
  return "DIRECT";
}}
"""


def script(hosts: Iterable[str | Contains], never: Iterable[str | Contains], proxy: str) -> str:
    """Return the file for a proxy at `host:port`."""
    return _SCRIPT.format(hosts=_list(hosts), never=_list(never), proxy=proxy)


def _list(patterns: Iterable[str | Contains]) -> str:
    return json.dumps([_pattern(pattern) for pattern in patterns])


def _pattern(pattern: str | Contains) -> tuple[str, str]:
    if isinstance(pattern, Contains):
        return "contains", pattern.contains
    if pattern.startswith("*."):
        return "below", "." + canonical(pattern[2:])
    return "is", canonical(pattern)

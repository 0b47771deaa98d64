"""All that take part in one run: how each is started, and what version it is."""

import platform
import subprocess
import sysconfig
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench import fairness
from bench.__main__ import NAMES
from bench.origin import Origin
from bench.peers import reverse
from bench.peers.squid import squid
from bench.subject import BIN, direct, mitmproxy, shaper

IN_DEBIAN = "shaper, Debian's Python"
"""The same code under the Python of its image, which is compiled with profile-guided optimisation."""


def debian_python(kept: Path):
    """Return the start of a command that runs shaper's program under Debian 13's Python."""
    ours = f"PYTHONPATH={Path(__file__).parents[2]}:{sysconfig.get_path('purelib')}"
    return "env", ours, str(kept / "python" / "python3"), "-P", "-c", "from shaper.cli.main import main; main()"


class Peers:
    """All are started at once and stay; `fresh` starts another of a kind beside them."""

    def __init__(self, home: Path, kept: Path):
        self._home, self._started = home, 0
        (home / "origin").mkdir()
        self.origin = Origin(home / "origin", NAMES)
        haproxy = partial(reverse.haproxy, root=kept / "haproxy")
        envoy = partial(reverse.envoy, binary=kept / "envoy" / "bin" / "envoy")
        self._kinds = {
            "shaper": shaper,
            "mitmproxy": mitmproxy,
            "nginx": reverse.nginx,
            "HAProxy": haproxy,
            "Envoy": envoy,
            "Squid": squid,
        }
        self._others = {IN_DEBIAN: partial(shaper, command=debian_python(kept))}
        self._sharing = {
            "shaper": fairness.subject,
            "HAProxy": partial(haproxy, shared=True),
            "Envoy": envoy,  # the responses of a route share its bucket anyway
            "Squid": partial(squid, shared=True),
        }
        self._all = {name: self._start(kind) for name, kind in self._kinds.items()} | {"direct": direct(self.origin)}

    def _start(self, kind):
        self._started += 1
        return kind(self._home / str(self._started), self.origin)

    def named(self, *names):
        return [self._all[name] for name in names]

    @property
    def slowing(self):
        return self.named("shaper", "HAProxy", "Envoy", "nginx", "Squid")

    @contextmanager
    def fresh(self, name, *, sharing=False):
        """Start another one, which has done nothing yet; or one whose responses share a cap, if it knows such."""
        subject = self._start((self._sharing if sharing else self._kinds | self._others)[name])
        try:
            yield subject
        finally:
            subject.stop()

    def stop(self):
        for each in (*self._all.values(), self.origin):
            if each.program:
                each.program.stop()


def versions(kept: Path):
    """Return what is measured, in its own words."""
    root = kept / "haproxy"
    loader = [str(root / "usr/lib64/ld-linux-x86-64.so.2"), "--library-path", str(root / "usr/lib/x86_64-linux-gnu")]
    asked = {
        "nginx": ["/usr/sbin/nginx", "-v"],
        "HAProxy": [*loader, str(root / "usr/sbin/haproxy"), "-v"],
        "Envoy": [str(kept / "envoy/bin/envoy"), "--version"],
        "Squid": ["/usr/sbin/squid", "-v"],
        "mitmproxy": [str(BIN / "mitmdump"), "--version"],
        "curl": ["curl", "--version"],
        "Debian's Python": [str(kept / "python" / "python3"), "--version"],
    }
    told = {"Python": platform.python_version()}
    for name, command in asked.items():
        shown = subprocess.run(command, capture_output=True, text=True, check=False)
        words = (shown.stdout + shown.stderr).split("Known bugs")[0].replace("/", " ").split()
        told[name] = next((word for word in words if word[0].isdigit() and word.count(".") >= 1), "?")
    return told

"""A study as a lab runs it: `shaper run` with volunteers, as a process, and a person who joins by its site."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookiejar import CookieJar
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, ProxyHandler, build_opener, urlopen

from click.testing import CliRunner, Result

from shaper.cli.main import main
from shaper.cli.remote import Remote
from shaper.onboarding.credentials import Credential
from shaper.onboarding.roster import open_roster

SHAPER = (sys.executable, "-m", "shaper")
RIGHT = {"read": "targets", "keep": "figures", "stop": "press", "adult": "yes", "choice": "yes"}


def until(true, seconds=20.0):
    """Wait until `true()` is; return what it was at last."""
    end = time.monotonic() + seconds
    while not (found := true()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


class Person:
    """A browser without a screen, signed in by an invitation; no proxy is set in it."""

    def __init__(self, link: str, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        self._own, _, self.token = link.partition("/join/")
        opener = build_opener(ProxyHandler({}), HTTPCookieProcessor(CookieJar()))
        opener.addheaders = [*headers.items()]
        self._open = opener.open
        self.get(f"/join/{self.token}")

    @property
    def login(self) -> Credential:
        return Credential(*self.token.split("-"))

    def get(self, path: str) -> str:
        return self._open(self._own + path, timeout=20).read().decode()

    def post(self, path: str, page: str, **fields: str) -> str:
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]+)"', self.get(page)))
        return self._open(self._own + path, urlencode(hidden | fields).encode(), timeout=20).read().decode()

    def agree(self) -> None:
        assert "You take part now" in self.post("/consent", "/consent", **RIGHT)


@dataclass
class RunningStudy:
    """The process, its files, and what it said by label."""

    home: Path
    study: str
    process: subprocess.Popen
    said: dict[str, str] = field(default_factory=dict)

    @property
    def own(self) -> str:
        return self.said["site"]

    @property
    def proxy(self) -> str:
        return self.said["proxy"].partition(";")[0]

    @property
    def ca_pem(self) -> Path:
        return self.home / "ca" / "shaper-ca.pem"

    @property
    def policy(self) -> Path:
        return self.home / "policy.yaml"

    @property
    def journal(self) -> Path:
        return self.home / "journal.jsonl"

    @property
    def errors(self) -> str:
        return (self.home / "stderr").read_text()

    @property
    def control(self) -> Remote:
        return Remote(self.said["control"], self.home / "control.token")

    @property
    def members(self) -> list[dict]:
        """Everybody, as the control API lists them."""
        return self.control.get("/v1/volunteers")["volunteers"]

    def invite(self) -> str:
        """Return a link for one person, as `shaper invite` does, once the running proxy knows them."""
        already = len(self.members)
        roster = open_roster(self.home / "people.sqlite", self.study)
        _, credential = roster.enrol()
        roster.close()
        assert until(lambda: len(self.members) > already)
        return f"{self.own}/join/{credential.token}"

    def join(self, headers: Mapping[str, str] = MappingProxyType({})) -> Person:
        """Invite a person who says yes."""
        person = Person(self.invite(), headers)
        person.agree()
        return person

    def metrics(self) -> str:
        with urlopen(self.said["metrics"], timeout=20) as answer:
            return answer.read().decode()

    def shaper(self, *arguments) -> Result:
        """Run a command that speaks to this proxy's control API where that is its business."""
        control = ["--control", self.said["control"], "--token", self.home / "control.token"]
        first, *rest = arguments
        command = [first, *(control if first in ("ctl", "top", "ethics") else []), *rest]
        return CliRunner().invoke(main, [*map(str, command)])

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(30)
        finally:
            self.process.kill()


@contextmanager
def running_study(home: Path, policy: str, *options, command=SHAPER):
    """Start it with everything that it can be asked for; stop it if it has not been stopped."""
    (home / "policy.yaml").write_text(policy)
    started = [
        *command, "run", "--policy", home / "policy.yaml", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0",
        "--ca-dir", home / "ca", "--journal", home / "journal.jsonl", "--volunteers", home / "people.sqlite",
        "--require-auth", "--site", "127.0.0.1:0", "--control", "127.0.0.1:0",
        "--control-token", home / "control.token",
        "--organisation", "Network Lab, Example University", "--contact", "slow-photos@example.org", *options,
    ]  # fmt: skip
    with (home / "stderr").open("wb") as errors:
        process = subprocess.Popen([*map(str, started)], stdout=subprocess.PIPE, stderr=errors, text=True)
    (study,) = re.findall(r'study"?: *"?([\w-]+)', policy)
    running = RunningStudy(home, study, process)
    while "journal" not in running.said and (line := process.stdout.readline()):
        label, _, text = line.strip().partition(" ")
        running.said[label] = text.strip()
    assert "journal" in running.said, running.errors
    try:
        yield running
    finally:
        if process.poll() is None:
            running.stop()
        process.stdout.close()

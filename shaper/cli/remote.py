"""The control API as the commands use it: one proxy, reached at a URL, with the token from its file."""

import getpass
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

import click

from shaper.policy.refused import RefusedError
from shaper.record import private

URL = "http://127.0.0.1:9465"
TOKEN = Path.home() / ".shaper" / "control.token"
TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Remote:
    """Raises click's own exception, in one line, when the proxy does not do what it is asked."""

    url: str = URL
    token: Path = TOKEN

    def get(self, path: str) -> Any:
        return self._ask("GET", path)

    def put(self, path: str, value: object) -> Any:
        return self._ask("PUT", path, json.dumps(value).encode(), "application/json")

    def post(self, path: str) -> Any:
        return self._ask("POST", path)

    def send_policy(self, method: str, path: str, file: Path) -> Any:
        """Send a policy file as it is; it is the proxy that reads it. Its complaints name the file."""
        try:
            content = file.read_bytes()
        except OSError as error:
            raise click.ClickException(f"{file}: cannot be read: {error.strerror}; check the path") from None
        return self._ask(method, path, content, "application/yaml", called=str(file))

    def _ask(self, method: str, path: str, body: bytes | None = None, kind: str = "", called: str = "policy") -> Any:
        headers = {"Authorization": f"Bearer {self._secret()}", "Operator": _operator()}
        headers |= {"Content-Type": kind} if kind else {}
        request = Request(self.url.rstrip("/") + path, body, headers, method=method)  # noqa: S310 - http(s) is checked
        try:
            with build_opener(ProxyHandler({})).open(request, timeout=TIMEOUT) as answer:
                return json.load(answer)
        except HTTPError as error:
            raise click.ClickException(_detail(error).replace("policy:", f"{called}:", 1)) from None
        except (URLError, OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise click.ClickException(
                f"{self.url}: no answer from the control API: {reason}; is `shaper run --control` running there?"
            ) from None

    def _secret(self) -> str:
        if not re.match(r"https?://", self.url):
            raise click.ClickException(f"--control: {self.url} is not a URL; write for example {URL}")
        try:
            return private.read(self.token).decode().strip()
        except FileNotFoundError:
            raise click.ClickException(
                f"{self.token}: no token; start the proxy with --control, or name its file with --token"
            ) from None
        except (RefusedError, OSError, UnicodeDecodeError) as error:
            raise click.ClickException(str(error)) from None


def _operator() -> str:
    """Return who is at the keyboard, for the audit log."""
    try:
        return re.sub(r"[^A-Za-z0-9_.@-]", "-", getpass.getuser())[:64] or "unnamed"
    except (KeyError, OSError):
        return "unnamed"


def _detail(error: HTTPError) -> str:
    try:
        return str(json.load(error)["detail"])
    except (ValueError, KeyError, TypeError):
        return f"{error.url}: {error.code} {error.reason}"

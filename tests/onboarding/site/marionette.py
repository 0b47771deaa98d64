"""Firefox, driven by Marionette, the protocol that is built into it: no driver needs to be installed.

Each message is its length, a colon and JSON. Firefox has a profile of its own, chooses its port, and asks the network
for nothing by itself.
"""

import base64
import itertools
import json
import os
import socket
import subprocess
import time
from pathlib import Path

QUIET = {
    "app.normandy.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.aboutwelcome.enabled": False,
    "browser.safebrowsing.downloads.remote.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "marionette.port": 0,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.dns.disablePrefetch": True,
    "network.trr.mode": 5,
    "services.settings.server": "data:,",
    "toolkit.telemetry.enabled": False,
    "ui.prefersReducedMotion": 1,
}


class Firefox:
    """One headless Firefox. Close it, or use it as a context."""

    def __init__(self, program, profile, prefs=(), *, size=(1000, 900)):
        profile.mkdir(exist_ok=True)
        lines = [
            f"user_pref({json.dumps(key)}, {json.dumps(value)});" for key, value in {**QUIET, **dict(prefs)}.items()
        ]
        (profile / "user.js").write_text("\n".join(lines))
        (profile / "MarionetteActivePort").unlink(missing_ok=True)
        environment = {
            **os.environ,
            "HOME": str(profile),
            "MOZ_HEADLESS_WIDTH": str(size[0]),
            "MOZ_HEADLESS_HEIGHT": str(size[1]),
        }
        command = [program, "--headless", "--no-remote", "--marionette", "--remote-allow-system-access"]
        self.process = subprocess.Popen(
            [*command, "--profile", profile], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._ids = itertools.count()
        try:
            self._socket = socket.create_connection(("127.0.0.1", self._port(profile)), timeout=60)
            self._stream = self._socket.makefile("rb")
            self._receive()  # the greeting
            self("WebDriver:NewSession", capabilities={"alwaysMatch": {"unhandledPromptBehavior": "ignore"}})
        except BaseException:
            self.process.kill()
            raise

    def _port(self, profile):
        file, end = profile / "MarionetteActivePort", time.monotonic() + 60
        while not (file.exists() and file.read_text().strip()):
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("Firefox did not start")
            time.sleep(0.05)
        return int(file.read_text())

    def __call__(self, command, **parameters):
        """Send a command and return its result."""
        message = json.dumps([0, next(self._ids), command, parameters]).encode()
        self._socket.sendall(b"%d:%b" % (len(message), message))
        _, _, error, result = self._receive()
        if error:
            raise RuntimeError(f"{command}: {error['error']}: {error['message']}")
        return result.get("value") if isinstance(result, dict) and set(result) == {"value"} else result

    def _receive(self):
        size = b""
        while (byte := self._stream.read(1)) != b":":
            if not byte:
                raise ConnectionError("Firefox has gone")
            size += byte
        return json.loads(self._stream.read(int(size)))

    def go(self, url):
        self("WebDriver:Navigate", url=url)

    @property
    def url(self):
        return self("WebDriver:GetCurrentURL")

    def find(self, css):
        return next(iter(self("WebDriver:FindElement", using="css selector", value=css).values()))

    def click(self, css):
        self("WebDriver:ElementClick", id=self.find(css))

    def text(self, css):
        return self("WebDriver:GetElementText", id=self.find(css))

    def run(self, script, *args):
        """Run a function's body in the page; a promise that it returns is awaited."""
        return self("WebDriver:ExecuteScript", script=script, args=list(args))

    def run_privileged(self, script, *args):
        """Run a function's body with the browser's own rights."""
        self("Marionette:SetContext", value="chrome")
        try:
            return self.run(script, *args)
        finally:
            self("Marionette:SetContext", value="content")

    def wait(self, condition, seconds=30):
        """Wait until an expression of the page is true."""
        end = time.monotonic() + seconds
        while not self.run(f"return Boolean({condition})"):
            if time.monotonic() > end:
                raise TimeoutError(condition + "\n" + self.run("return document.body.innerText"))
            time.sleep(0.1)

    def screenshot(self, path):
        Path(path).write_bytes(base64.b64decode(self("WebDriver:TakeScreenshot", full=True)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self("Marionette:Quit", flags=["eForceQuit"])
            self.process.wait(20)
        except (OSError, RuntimeError, ValueError, subprocess.TimeoutExpired):
            self.process.kill()
        self.process.wait(20)
        self._stream.close()
        self._socket.close()

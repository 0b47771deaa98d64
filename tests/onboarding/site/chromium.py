"""Debian's Chromium, driven by Playwright, with Firefox's few verbs; its trust is an NSS database."""

import os
import subprocess
import time

from playwright.sync_api import sync_playwright

STILL = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--force-prefers-reduced-motion",
]


class Chromium:
    """One headless Chromium with a profile and a home of its own. Close it, or use it as a context."""

    def __init__(self, program, profile, *, pac=None, proxy=None, login=None, size=(1000, 900), **options):
        self.home = profile / "home"
        (self.home / ".pki" / "nssdb").mkdir(parents=True, exist_ok=True)
        arguments = [*STILL, *([f"--proxy-pac-url={pac}"] if pac else [])]
        if login:  # the PAC file decides what goes there; this is how Playwright knows the password
            options["proxy"] = {"server": f"http://{proxy}", "username": login.username, "password": login.password}
        self._driver = sync_playwright().start()
        try:
            self._context = self._driver.chromium.launch_persistent_context(
                profile / "profile",
                executable_path=program,
                args=arguments,
                env={**os.environ, "HOME": str(self.home)},
                viewport={"width": size[0], "height": size[1]},
                reduced_motion="reduce",
                **options,
            )
        except BaseException:
            self._driver.stop()
            raise
        self.page = self._context.pages[0]
        self.page.set_default_timeout(30_000)
        self.requested, self.complaints = [], []
        self.page.on("request", lambda request: self.requested.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def go(self, url):
        self.page.goto(url)

    @property
    def url(self):
        return self.page.url

    def click(self, css):
        self.page.click(css)
        self.page.wait_for_load_state("domcontentloaded")

    def text(self, css):
        return self.page.inner_text(css)

    def run(self, script, *args):
        """Run a function's body in the page; a promise that it returns is awaited."""
        return self.page.evaluate(f"arguments_ => (function () {{ {script} }}).apply(null, arguments_)", list(args))

    def wait(self, condition, seconds=30):
        """Wait until an expression of the page is true."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(condition):  # wait_for_function would need eval, which the site's policy forbids
            if time.monotonic() > end:
                raise TimeoutError(condition + "\n" + self.text("body"))
            self.page.wait_for_timeout(100)

    def screenshot(self, path):
        self.page.screenshot(path=path, full_page=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._context.close()
        self._driver.stop()


def trust(profile, pem, certutil):
    """Import a CA as a person does in the certificate manager."""
    database = profile / "home" / ".pki" / "nssdb"
    if not (database / "cert9.db").exists():
        database.mkdir(parents=True, exist_ok=True)
        subprocess.run([certutil, "-N", "-d", f"sql:{database}", "--empty-password"], check=True)
    subprocess.run([certutil, "-A", "-d", f"sql:{database}", "-n", "lab", "-t", "C,,", "-i", pem], check=True)


def distrust(profile, certutil):
    """Delete it again."""
    subprocess.run([certutil, "-D", "-d", f"sql:{profile / 'home' / '.pki' / 'nssdb'}", "-n", "lab"], check=True)

"""Which steps a browser needs: a guess from its user agent, which is used for the one page and kept nowhere."""

from collections.abc import Mapping
from typing import NamedTuple

BROWSERS = ("firefox", "chrome", "edge", "safari")
SYSTEMS = ("windows", "macos", "linux", "android", "ios")

# The names that people know them by; no language translates these.
NAMES: Mapping[str, str] = {
    "firefox": "Firefox",
    "chrome": "Chrome",
    "edge": "Edge",
    "safari": "Safari",
    "windows": "Windows",
    "macos": "macOS",
    "linux": "Linux",
    "android": "Android",
    "ios": "iPhone, iPad",
}

# The first token that occurs decides: later ones are claimed by browsers that are not what they name.
_BROWSER_TOKENS = (
    ("Edg", "edge"),
    ("Firefox", "firefox"),
    ("FxiOS", "firefox"),
    ("Chrome", "chrome"),
    ("Chromium", "chrome"),
    ("CriOS", "chrome"),
    ("Safari", "safari"),
)
_SYSTEM_TOKENS = (
    ("iPhone", "ios"),
    ("iPad", "ios"),
    ("Android", "android"),
    ("Windows", "windows"),
    ("Macintosh", "macos"),
    ("Linux", "linux"),
)


class Browser(NamedTuple):
    """A browser on a system; an empty word is one that we could not tell."""

    browser: str
    system: str

    @classmethod
    def guess(cls, user_agent: str) -> "Browser":
        return cls(_first(_BROWSER_TOKENS, user_agent), _first(_SYSTEM_TOKENS, user_agent))

    def corrected(self, browser: str, system: str) -> "Browser":
        """Return this guess with what the person says instead; nonsense is passed over."""
        return Browser(browser if browser in BROWSERS else self.browser, system if system in SYSTEMS else self.system)

    @property
    def place(self) -> str:
        """Where its proxy setting and certificates are kept: in the system, unless it is Firefox on a computer."""
        if self.browser == "firefox" and self.system not in ("android", "ios"):
            return "firefox"
        return self.system or "firefox"


def _first(tokens: tuple[tuple[str, str], ...], text: str) -> str:
    return next((name for token, name in tokens if token in text), "")

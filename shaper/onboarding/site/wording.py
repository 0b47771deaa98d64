"""What the site says, one TOML file a language in `words/`. To add a language, add a file: it is offered by itself.

English is the measure: a test fails when another file lacks a key, has a spare one or fills in other values. The files
are ours and may hold a little HTML; every value filled into them is escaped.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from markupsafe import Markup, escape

DEFAULT = "en"


@dataclass(frozen=True, slots=True)
class Wording:
    """One language."""

    code: str
    words: Mapping[str, Any]

    def __call__(self, key: str, **values: object) -> Markup:
        """Return the text under a dotted key, with escaped values filled in."""
        return Markup(self._at(key)).format(**values)  # noqa: S704 (our own files)

    def steps(self, key: str, **values: object) -> list[Markup]:
        """Return the list of texts under a dotted key."""
        return [Markup(text).format(**values) for text in self._at(key)]  # noqa: S704

    def group(self, key: str) -> Mapping[str, str]:
        """Return the texts of a whole table, for a script to use."""
        return dict(self._at(key))

    def listed(self, items: Iterable[object]) -> Markup:
        """Return `a, b and c`."""
        *first, last = [escape(item) for item in items] or [Markup()]
        return Markup(" ").join([Markup(", ").join(first), escape(self("and")), last]) if first else last

    def number(self, value: float) -> str:
        """Return a number to about three figures, with this language's decimal mark."""
        digits = 0 if value >= 100 else 1 if value >= 10 else 2
        text = f"{value:.{digits}f}"
        text = text.rstrip("0").rstrip(".") if digits else text
        return text.replace(".", self._at("unit.decimal"))

    def rate(self, bits: float) -> Markup:
        kilo = bits < 1e6
        return self("unit.kbits" if kilo else "unit.mbits", n=self.number(bits / (1e3 if kilo else 1e6)))

    def size(self, count: float) -> Markup:
        for unit, worth in (("gigabytes", 1e9), ("megabytes", 1e6), ("kilobytes", 1e3)):
            if count >= worth:
                return self(f"unit.{unit}", n=self.number(count / worth))
        return self("unit.bytes", n=self.number(count))

    def lasting(self, seconds: float) -> Markup:
        for unit, worth in (("days", 86400), ("hours", 3600), ("minutes", 60)):
            if seconds >= 2 * worth:
                return self(f"unit.{unit}", n=self.number(round(seconds / worth)))
        if seconds < 1:
            return self("unit.milliseconds", n=self.number(round(seconds * 1000)))
        return self("unit.seconds", n=self.number(round(seconds, 1)))

    def _at(self, key: str) -> Any:
        found: Any = self.words
        for part in key.split("."):
            found = found[part]
        return found


@cache
def languages() -> Mapping[str, Wording]:
    """Return every language there is a file for, English first."""
    files = resources.files(__package__).joinpath("words").iterdir()
    found = {file.name.removesuffix(".toml"): file for file in files if file.name.endswith(".toml")}
    return {
        code: Wording(code, tomllib.loads(found[code].read_text("utf-8")))
        for code in sorted(found, key=lambda code: (code != DEFAULT, code))
    }

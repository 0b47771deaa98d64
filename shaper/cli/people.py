"""Who asks whom, where and on what terms: the options of a run that are about volunteers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from shaper.cli.address import written
from shaper.onboarding.budget import Terms
from shaper.policy.refused import RefusedError
from shaper.policy.units import parse_period, parse_size

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - nobody reaches these; they are only listened on


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Checked: whoever is asked learns by whom, and is given addresses that lead somewhere."""

    database: Path
    site: tuple[str, int]
    proxy: str  # HOST:PORT, as browsers reach it
    own: str  # the site's URL, as browsers reach it
    organisation: str
    contact: str
    approval: str
    open_to_all: bool
    terms: Terms

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self | None:
        """Read the options; None when there are no volunteers. Raises RefusedError."""
        if options["volunteers"] is None:
            if options["require_auth"]:
                raise RefusedError(
                    "--require-auth: nobody has credentials", "name the volunteers' database with --volunteers"
                )
            return None
        for name in ("organisation", "contact"):
            if not (options[name] or "").strip():
                raise RefusedError(f"--volunteers: the consent text has no {name}", f"name it with --{name}")
        return cls(
            database=options["volunteers"],
            site=options["site"],
            proxy=_reached(options["public"] or options["listen"], "--listen", "--public HOST:PORT"),
            own=_url(options["public_site"]) or "http://" + _reached(options["site"], "--site", "--public-site URL"),
            organisation=options["organisation"],
            contact=options["contact"],
            approval=options["approval"] or "",
            open_to_all=options["open"],
            terms=Terms(
                consent=_parsed(parse_period, options, "consent_for"),
                keep=_parsed(parse_period, options, "keep_for"),
                bytes_a_day=_parsed(parse_size, options, "data_budget"),
                session=_parsed(parse_period, options, "session"),
                rest=_parsed(parse_period, options, "rest"),
            ),
        )


def _reached(address: tuple[str, int], option: str, remedy: str) -> str:
    if address[0] in EVERYWHERE:
        raise RefusedError(f"{option}: {address[0]}: no browser can be led there", f"add {remedy}")
    return written(address)


def _url(text: str | None) -> str:
    try:
        parts = urlsplit(text or "")
        right = not text or (parts.scheme in ("http", "https") and parts.hostname and not parts.path.strip("/"))
    except ValueError:
        right = False
    if not right:
        raise RefusedError(f'--public-site: "{text}" is not a site\'s address', "write one such as http://lab:8081")
    return (text or "").rstrip("/")


def _parsed[T](parse: Callable[[object], T], options: Mapping[str, Any], name: str) -> T:
    try:
        return parse(options[name])
    except RefusedError as error:
        raise RefusedError(f"--{name.replace('_', '-')}: {error.problem}", error.remedy) from None

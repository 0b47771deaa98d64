"""An ethics worksheet after the Menlo Report, filled in as far as a configuration can tell, in Markdown.

D. Dittrich and E. Kenneally, "The Menlo Report: Ethical Principles Guiding Information and Communication Technology
Research", US Department of Homeland Security, 2012. What a machine cannot know is left as a question: a worksheet
without answers is not a review. The words are in `worksheet.md.jinja`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from shaper import __version__
from shaper.onboarding.budget import DAY, HOUR, Terms
from shaper.policy import never
from shaper.policy.exposure import is_loopback
from shaper.policy.model import Contains, Mode, Policy
from shaper.policy.words import effects
from shaper.record.cells import LEAST

LONG = 90 * DAY  # after which people have forgotten what they agreed to


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What the proxy was started with, as far as it bears on people. Nothing secret."""

    listen: str  # HOST:PORT
    require_auth: bool
    volunteers: bool  # asks for consent, and leaves alone who has not given it
    organisation: str = ""
    contact: str = ""
    approval: str = ""  # which board looked at the study, and under which number
    journal: bool = False
    ca_names: tuple[str, ...] = ()
    ca_expires: str | None = None  # RFC 3339
    allowed_destinations: tuple[str, ...] = ()


def worksheet(policy: Policy, configuration: Configuration | None, terms: Terms) -> str:
    """Return the worksheet; without a configuration it is that of a plan."""
    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        autoescape=select_autoescape(),  # not for Markdown
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    pages.filters.update(
        days=lambda seconds: f"{seconds / DAY:g} days",
        hours=lambda seconds: f"{seconds / HOUR:g} h",
        size=lambda size: f"{size / 1e9:g} GB",
        effects=lambda rule: "; ".join(effects(rule)),
    )
    total = sum(policy.arms.values())
    return pages.get_template("worksheet.md.jinja").render(
        policy=policy,
        configuration=configuration,
        terms=terms,
        version=__version__,
        warnings=warnings(policy, configuration, terms),
        hosts=sorted({str(host) for target in policy.targets.values() for host in target.hosts}),
        slows=policy.mode is Mode.ENFORCE and any(rule.asks_for_something for rule in policy.rules),
        opens=bool(policy.intercepted),
        arms=[f"{name} {weight / total:.0%}" for name, weight in sorted(policy.arms.items())],
        never=len(never.hosts()),
        least=LEAST,
    )


def warnings(policy: Policy, configuration: Configuration | None, terms: Terms) -> Sequence[str]:
    """Return what a reviewer will ask about first."""
    hosts = [host for target in policy.targets.values() for host in target.hosts]
    found = [
        f'"{host.contains}" matches anywhere in a name: hosts that nobody meant are slowed, too.'
        for host in hosts
        if isinstance(host, Contains)
    ]
    if terms.bytes_a_day is None:
        found.append("There is no data budget: nothing protects a volunteer's data plan.")
    if terms.consent > LONG:
        found.append("A consent holds for more than 90 days without being asked for again.")
    return found + (_exposed(configuration) if configuration else [])


def _exposed(configuration: Configuration) -> list[str]:
    host = configuration.listen.rpartition(":")[0]
    allowed = ", ".join(configuration.allowed_destinations)
    points = {
        "There is no volunteers' database: nobody is asked for consent. Only for a closed lab.": (
            not configuration.volunteers
        ),
        "No ethics approval is named.": not configuration.approval,
        "No contact is named: volunteers cannot reach anybody.": not configuration.contact,
        f"Other machines can reach the proxy, on {host}.": not is_loopback(host),
        f"The proxy may connect into private networks: {allowed}.": bool(allowed),
    }
    return [point for point, holds in points.items() if holds]

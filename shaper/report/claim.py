"""What the data support and what they do not, in words.

A claim is supported when the arms differ after Holm's adjustment, or when the interval leaves no room for a difference
worth speaking of. Anything else is open, and is said to be: that no difference was found is not that there is none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf, log

from shaper.measure.run import Conditions
from shaper.report.comparison import Difference
from shaper.report.distribution import Distribution
from shaper.report.ledger import Ledger

ALIKE = log(1.1)  # a factor within a tenth either way is called alike
TIMES = "\N{MULTIPLICATION SIGN}"
SEVERAL = 0.1  # of the samples


class Support(StrEnum):
    """How far the data go."""

    SUPPORTED = "supported"
    OPEN = "not supported"
    LIMIT = "limit"


@dataclass(frozen=True, slots=True)
class Claim:
    """One sentence about the study, with the figures behind it."""

    support: Support
    text: str
    figures: str = ""


def claims(
    conditions: Sequence[Conditions],
    differences: Sequence[Difference],
    distributions: Sequence[Distribution],
    ledgers: Sequence[Ledger],
) -> list[Claim]:
    """Return the claims, those that hold first, then those that do not, then the limits of all of them."""
    about = [_about(difference) for difference in differences]
    made = about + _limits(conditions, distributions, ledgers) + _always()
    return sorted(made, key=lambda claim: list(Support).index(claim.support))


def _about(found: Difference) -> Claim:
    what = f"{found.label} of {found.panel} under {found.arm}"
    figures = f"{amount(found)} {interval(found)}, {found.shift.pairs} pairs, p = {p_value(found.p_family)} after Holm"
    if found.shift.censored:
        figures += f", {found.shift.censored} of the pairs with an unfinished transfer"
    if found.differs:
        higher = found.shift.lower >= 0 if found.shift.lower != -inf else found.shift.estimate[0] > 0
        word = ("longer" if higher else "shorter") if found.factor else ("higher" if higher else "lower")
        return Claim(Support.SUPPORTED, f"{what} is {word} than under {found.reference}.", figures)
    if found.factor and found.shift.lower > -ALIKE and found.shift.upper < ALIKE:
        return Claim(Support.SUPPORTED, f"{what} is that under {found.reference}, within a tenth.", figures)
    text = f"Whether {what} differs from that under {found.reference} is open."
    if found.power is not None:
        figures += f"; these pairs find a slowdown by a fifth with a power of {found.power:.2f}"
        if found.power < 0.8:
            needed = f"{found.pairs_needed} pairs" if found.pairs_needed else "more than a thousand pairs"
            figures += f", 0.80 takes {needed}"
    return Claim(Support.OPEN, text, figures)


def _limits(
    conditions: Sequence[Conditions], distributions: Sequence[Distribution], ledgers: Sequence[Ledger]
) -> list[Claim]:
    made = []
    bare = sorted({arm.name for one in conditions for arm in one.arms if arm.policy and not arm.certificate})
    if bare:
        text = f"No rate is certain under {', '.join(bare)}: no calibration certificate was in force."
        made.append(Claim(Support.LIMIT, text, "run `shaper calibrate` first"))
    if flagged := sum(ledger.flagged for ledger in ledgers):
        total = sum(ledger.transfers for ledger in ledgers)
        text = "Some transfers were made out of tolerance or otherwise flagged by the proxy."
        made.append(Claim(Support.LIMIT, text, f"{flagged} of {total}"))
    for one in distributions:
        if one.timeouts + one.errors > SEVERAL * one.begun:
            text = f"Many of {one.panel} under {one.arm} never finished: their times are lower bounds."
            figures = f"{one.timeouts} timeouts and {one.errors} errors of {one.begun}"
            made.append(Claim(Support.LIMIT, text, figures))
        if one.corrupt:
            text = f"Some of {one.panel} under {one.arm} did not arrive as they were sent: their times mean nothing."
            made.append(Claim(Support.LIMIT, text, f"{one.corrupt} of {one.begun} with another SHA-256"))
    if unfinished := [one.name for one in conditions if one.ended is None]:
        made.append(
            Claim(Support.LIMIT, "A run was not finished: its last blocks may be incomplete.", ", ".join(unfinished))
        )
    if len({one.plan for one in conditions}) > 1:
        made.append(Claim(Support.LIMIT, "These runs follow different plans: what is pooled may not be alike.", ""))
    return made


def _always() -> list[Claim]:
    """What no lab experiment of this kind supports."""
    return [
        Claim(
            Support.LIMIT, "Nothing here says how a real network, a real client population or another machine behaves."
        ),
        Claim(Support.LIMIT, "A look is not a cause: a slow line can look smooth, and a paced sender hides a policer."),
    ]


def amount(found: Difference) -> str:
    """Return the estimate in words: a factor, or a difference with its sign."""
    low, high = (found.natural(value) for value in found.shift.estimate)
    sign = TIMES if found.factor else ""
    if low == high:
        return f"{sign}{low:.3g}" if found.factor else f"{low:+.3g}"
    if high == inf:
        return f"at least {sign}{low:.3g}"
    return f"{sign}{low:.3g} to {sign}{high:.3g}"


def interval(found: Difference) -> str:
    """Return the interval in brackets; an end that the data do not reach is said to be open."""
    ends = (found.natural(value) for value in (found.shift.lower, found.shift.upper))
    return (
        "["
        + ", ".join("open" if abs(end) == inf or (found.factor and end == 0) else f"{end:.3g}" for end in ends)
        + "]"
    )


def p_value(p: float) -> str:
    """Return a p-value in two digits, never as 0."""
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"

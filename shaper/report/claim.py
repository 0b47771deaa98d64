"""What the data support and what they do not, in words.

A claim is supported when the arms differ, judged over all comparisons together, or when the interval leaves no room for
a difference worth speaking of. Anything else is open, and is said to be: none was found is not that there is none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import groupby
from math import inf, log

from shaper.measure.certificate import Certificate
from shaper.measure.run import Conditions
from shaper.report.comparison import Difference
from shaper.report.distribution import Distribution
from shaper.report.drawing import TIMES
from shaper.report.ledger import Ledger

ALIKE = log(1.1)  # a factor within a tenth either way is called alike
SEVERAL = 0.1  # of the samples
ALWAYS = [  # what no data of this kind can show
    ("This is one laboratory: it does not show how a real network, other people or another machine would fare.", ""),
    ("A look is not a cause: a slow line can look smooth, and a sender that paces itself hides a policer.", ""),
]


class Support(StrEnum):
    """How far the data go."""

    SUPPORTED = "supported"
    OPEN = "not supported"
    LIMIT = "limit"


class Direction(StrEnum):
    """Which way an arm differs from the reference, as far as the data tell."""

    UP = "up"
    DOWN = "down"
    ALIKE = "alike"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Claim:
    """One sentence about the study, with the figures behind it."""

    support: Support
    text: str
    figures: str = ""


def claims(
    conditions: Sequence[Conditions],
    certificates: Sequence[Certificate],
    differences: Sequence[Difference],
    distributions: Sequence[Distribution],
    ledgers: Sequence[Ledger],
) -> list[Claim]:
    """Return the claims, those that hold first, then those that do not, then the limits of all of them."""
    made = []
    if not differences:
        text = "Nothing can be compared: no block holds the same object under the reference and under another arm."
        made.append(Claim(Support.OPEN, text))
    for _, alike in groupby(differences, key=lambda one: (one.panel, one.metric)):
        same = sorted(alike, key=lambda one: list(Direction).index(direction(one)))
        made += [_about(way, list(group)) for way, group in groupby(same, key=direction)]
    limits = _of_certificates(conditions, certificates) + _of_data(conditions, distributions, ledgers) + ALWAYS
    made += [Claim(Support.LIMIT, text, figures) for text, figures in limits]
    return sorted(made, key=lambda claim: list(Support).index(claim.support))


def direction(found: Difference) -> Direction:
    """Say which way the arm differs."""
    shift = found.shift
    if found.differs:
        middle = shift.lower if shift.lower > 0 else shift.upper if shift.upper < 0 else shift.estimate[0]
        return Direction.UP if middle > 0 else Direction.DOWN
    near = ALIKE if found.factor else 0.0
    return Direction.ALIKE if -near <= shift.lower and shift.upper <= near else Direction.OPEN


def _about(way: Direction, found: Sequence[Difference]) -> Claim:
    """Say one thing of all arms that it is true of."""
    first = found[0]
    arms = joined([f"{one.arm} ({amount(one)} {interval(one)})" for one in found])
    subject = f"{str(first.panel).capitalize()}: {first.label}"
    word = {Direction.UP: "longer" if first.factor else "more", Direction.DOWN: "shorter" if first.factor else "less"}
    match way:
        case Direction.UP | Direction.DOWN:
            most = max(one.p_family for one in found)
            text = f"{subject} is {word[way]} under {arms} than under {first.reference}."
            return Claim(Support.SUPPORTED, text, f"{_pairs(found)}, {p_value(most)} over all comparisons")
        case Direction.ALIKE:
            within = ", within a tenth" if first.factor else ""
            text = f"{subject} is the same under {arms} as under {first.reference}{within}."
            return Claim(Support.SUPPORTED, text, _pairs(found))
        case Direction.OPEN:
            text = f"{subject}: whether it differs under {arms} from {first.reference} is open."
            return Claim(Support.OPEN, text, "; ".join([_pairs(found), *filter(None, map(_power, found))]))


def _pairs(found: Sequence[Difference]) -> str:
    censored = max(one.shift.censored for one in found)
    unfinished = f", of which {censored} with an unfinished transfer" if censored else ""
    return f"{min(one.shift.pairs for one in found)} pairs{unfinished}"


def _power(found: Difference) -> str:
    """Say what the pairs could have found."""
    if found.power is None:
        return ""
    could = f"under {found.arm} they find a slowdown by a fifth with a power of {found.power:.2f}"
    if found.power >= 0.8:
        return could
    return f"{could}; for 0.80 it takes {found.pairs_needed or 'more than a thousand'}"


def _of_certificates(conditions: Sequence[Conditions], certificates: Sequence[Certificate]) -> list[tuple[str, str]]:
    """Return whose rates are not vouched for, and why."""
    known = {one.digest: one for one in certificates}
    why: dict[str, list[str]] = {}
    for one in conditions:
        for arm in (arm for arm in one.arms if arm.policy):
            certificate = known.get(arm.certificate or "")
            if not arm.certificate:
                why.setdefault("no calibration certificate was in force", []).append(arm.name)
            elif not certificate:
                why.setdefault("the certificate in force does not lie with the run", []).append(arm.name)
            elif not certificate.passed:
                why.setdefault("the calibration did not pass", []).append(arm.name)
            elif certificate.valid_until <= datetime.fromisoformat(one.started):
                why.setdefault("the certificate had expired", []).append(arm.name)
    return [
        (f"No rate is certain under {joined(sorted(set(arms)))}: {reason}.", "`shaper calibrate` makes a certificate")
        for reason, arms in why.items()
    ]


def _of_data(
    conditions: Sequence[Conditions], distributions: Sequence[Distribution], ledgers: Sequence[Ledger]
) -> list[tuple[str, str]]:
    """Return what is wrong with these data."""
    made = []
    if flagged := sum(ledger.flagged for ledger in ledgers):
        total = sum(ledger.transfers for ledger in ledgers)
        made.append(("Some transfers were out of tolerance, or flagged for another reason.", f"{flagged} of {total}"))
    for one in distributions:
        name = f"{str(one.panel).capitalize()}, {one.arm}"
        if one.timeouts + one.errors > SEVERAL * one.begun:
            figures = f"{one.timeouts} timeouts and {one.errors} errors of {one.begun}"
            made.append((f"{name}: many never finished, so their times are lower bounds.", figures))
        if one.corrupt:
            figures = f"{one.corrupt} of {one.begun} with another SHA-256"
            made.append((f"{name}: some bodies are not what was sent.", figures))
    if unfinished := [one.name for one in conditions if one.ended is None]:
        made.append(("A run was not finished: its last block may lack an arm.", ", ".join(unfinished)))
    if len({one.plan for one in conditions}) > 1:
        made.append(("The runs follow different plans: what is taken together here may not be alike.", ""))
    return made


def amount(found: Difference) -> str:
    """Return the estimate in words: a factor, or a difference with sign and unit."""
    low, high = (found.natural(value) for value in found.shift.estimate)
    sign, form = (TIMES, ".3g") if found.factor else ("", "+.3g")
    unit = f" {found.unit}" if found.unit else ""
    if low == high:
        return f"{sign}{low:{form}}{unit}"
    if high == inf:
        return f"at least {sign}{low:{form}}{unit}"
    return f"{sign}{low:{form}} to {sign}{high:{form}}{unit}"


def interval(found: Difference) -> str:
    """Return the interval in brackets; an end that the data do not reach is said to be open."""
    ends = (found.natural(value) for value in (found.shift.lower, found.shift.upper))
    shown = ["open" if abs(end) == inf or (found.factor and end == 0) else f"{end:.3g}" for end in ends]
    return f"[{', '.join(shown)}]"


def p_value(p: float) -> str:
    """Return a p-value in two digits, never as 0."""
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"


def joined(words: Sequence[str]) -> str:
    """Join words as a sentence does."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]

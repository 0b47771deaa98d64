"""Figures and their goals: printed as they come, counted at the end."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One measured number. A goal is a range; None on a side: no limit there."""

    section: str
    subject: str
    name: str
    value: float | None  # None: it could not be measured
    unit: str = ""
    low: float | None = None
    high: float | None = None

    @property
    def has_goal(self):
        return self.low is not None or self.high is not None

    @property
    def met(self):
        if self.value is None:
            return False
        return (self.low is None or self.value >= self.low) and (self.high is None or self.value <= self.high)

    @property
    def goal(self):
        match self.low, self.high:
            case None, None:
                return ""
            case None, high:
                return f"at most {show(high)}"
            case low, None:
                return f"at least {show(low)}"
            case low, high:
                return f"{show(low)} to {show(high)}"


def show(value):
    """Write a number with four significant digits."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


class Scoreboard:
    """Collects figures and prints each at once."""

    def __init__(self):
        self.figures = []
        self._section = ""

    def section(self, title):
        self._section = title
        print(f"\n{title}   (load average {os.getloadavg()[0]:.1f})", flush=True)

    def add(self, subject, name, value, unit="", low=None, high=None):
        figure = Figure(self._section, subject, name, value, unit, low, high)
        self.figures.append(figure)
        verdict = ("met" if figure.met else "MISSED") if figure.has_goal else ""
        print(f"  {subject:<11} {name:<46} {show(value):>9} {unit:<9} {figure.goal:<20} {verdict}", flush=True)

    def missed(self):
        return [figure for figure in self.figures if figure.has_goal and not figure.met]

    def save(self, path: Path):
        path.write_text(json.dumps([asdict(figure) for figure in self.figures], indent=1))

"""What a run found and how it was made, kept as JSON; several runs are pooled into one."""

import json
import os
import platform
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path


class Results:
    """All repeats of every figure, by link, section, row and column. None: could not be measured."""

    def __init__(self):
        self.links = defaultdict(lambda: defaultdict(lambda: defaultdict(lambda: defaultdict(list))))

    def add(self, link, section, row, column, value):
        self.links[link][section][row][column].append(value)

    def pool(self, links):
        """Take in the figures of a kept run."""
        for link, sections in links.items():
            for section, rows in sections.items():
                for row, columns in rows.items():
                    for column, values in columns.items():
                        self.links[link][section][row][column] += values


class Run:
    """One run, which may be kept at any time."""

    def __init__(self, *, versions, commit, note):
        self.results = Results()
        self._begun, self._loads = _now(), []
        self._about = {
            "machine": f"{os.cpu_count()} cores, Linux {platform.release()}",
            "versions": versions,
            "commit": commit,
            "note": note,
        }

    def note_load(self):
        self._loads.append(round(os.getloadavg()[0], 2))
        return self._loads[-1]

    def keep(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        times = {"begun": self._begun, "ended": _now(), "loads": self._loads}
        path.write_text(json.dumps({**self._about, **times, "links": self.results.links}, indent=1))


def read(paths):
    """Return the kept runs, which must be of one machine and of the same versions, and their pooled results."""
    runs, pooled = [json.loads(path.read_text()) for path in paths], Results()
    for path, run in zip(paths, runs, strict=True):
        for what in ("machine", "versions"):
            if run[what] != runs[0][what]:
                raise SystemExit(f"{path}: {what} differ from those of {paths[0]}; pool runs of one machine only")
        pooled.pool(run["links"])
    return runs, pooled


def _now():
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M}"

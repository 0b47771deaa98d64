"""The document that a run writes: a table a section, the best in bold, with the spread of the repeats."""

from collections import defaultdict
from pathlib import Path
from statistics import median

from bench.scoreboard import show

HIGHER = {"MB/s", "requests/s"}  # is better; elsewhere lower is, but for rates, which should be 1

TITLES = {
    "rates": (
        "Achieved over configured rate",
        "From the response's headers to its last byte; 1 is right, more is given away. What a peer gives at once "
        "counts, but for shaper's configured burst of 2 KiB.",
    ),
    "shapes": (
        "The line at 150 kbit/s",
        "100 kB: the largest distance from the straight line, the variation of the rate in windows of 100 ms, and the "
        "longest time without a byte.",
    ),
    "pages on other connections": (
        "A page beside slowed transfers, on another connection",
        "Milliseconds, median and 99th percentile, beside so many transfers at 150 kbit/s.",
    ),
    "pages on the same h2 connection": (
        "A page beside slowed transfers, on the same HTTP/2 connection",
        "Milliseconds, median and 99th percentile, beside so many streams at 150 kbit/s.",
    ),
    "costs": (
        "What a slowed transfer costs",
        "100 transfers of 50 MB at 150 kbit/s at once, while nginx and Squid still read ahead. "
        "Memory and read-ahead are for each transfer. mitmproxy does not slow: the origin does it for it.",
    ),
    "passes": (
        "Traffic that is not slowed",
        "One body of 50 MB by curl; pages one after another on one connection. CPU is the peer's own. A tunnel is not "
        "decrypted.",
    ),
}


class Results:
    """All repeats of every figure, by section, row and column."""

    def __init__(self):
        self.sections = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))

    def add(self, section, row, column, value):
        self.sections[section][row][column].append(value)


def write(path: Path, results, about):
    """Write the document."""
    named = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    parts = [
        "# Benchmarks",
        f"Written by `make bench-peers` on {about['date']}: {about['machine']}, load average {about['load']}; {named}. "
        f"Medians of {about['repeats']} repeats in turns, least and most of them in brackets where they differ by more "
        "than a tenth; the best of a column is bold. Ratios hold better than absolute figures: the load client, the "
        f"origin and the peer share the machine. {about['note']}".rstrip(),
    ]
    for section, rows in results.sections.items():
        title, text = TITLES[section]
        parts += [f"## {title}", text, "\n".join(_table(rows))]
    path.write_text("\n\n".join(parts) + "\n")


def _table(rows):
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    yield "| |" + "|".join(f" {column} " for column in columns) + "|"
    yield "|---|" + "---:|" * len(columns)
    best = {column: _best(rows, column) for column in columns}
    for name, row in rows.items():
        cells = [_cell(row.get(column, []), best[column] == name) for column in columns]
        yield f"| {name} |" + "|".join(f" {cell} " for cell in cells) + "|"


def _middle(values):
    good = [value for value in values if value is not None]
    return median(good) if good else None


def _best(rows, column):
    found = {
        name: value
        for name, row in rows.items()
        if not name.startswith("direct") and (value := _middle(row.get(column, []))) is not None
    }
    if column in HIGHER:
        return max(found, key=found.get, default=None)
    if column[0].isdigit():  # a rate
        return min(found, key=lambda name: abs(found[name] - 1), default=None)
    return min(found, key=found.get, default=None)


def _cell(values, is_best):
    value = _middle(values)
    if value is None:
        return "-"
    good = [each for each in values if each is not None]
    text = f"**{show(value)}**" if is_best else show(value)
    if max(good) - min(good) > 0.1 * abs(value):
        text += f" ({show(min(good))}-{show(max(good))})"
    return text

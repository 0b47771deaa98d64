"""The document that runs are written into: a table a section and link, the best in bold, with the spread."""

from pathlib import Path
from statistics import median

from bench.scoreboard import show

TITLES = {
    "rates": (
        "Achieved over configured rate",
        "From the response's headers to its last byte, one peer at a time; bodies of 5 s and more come together. "
        "1 is right, more is given away. What a peer gives at once counts, but for shaper's configured burst of 2 KiB; "
        "inf: all came in one read with the headers.",
    ),
    "shapes": (
        "The line at 150 kbit/s",
        "100 kB: the largest distance from the straight line, the variation of the rate in windows of 100 ms, and the "
        "longest time without a byte. shaper's configured burst, 2 KiB, is a distance.",
    ),
    "pages_beside": (
        "A page beside slowed transfers, on another connection",
        "Milliseconds, median and 99th percentile, beside so many transfers at 150 kbit/s, each on a connection of its "
        "own. One process reads them all and the pages too; what that costs is in every row. A page that has not come "
        "after 3,000 counts so.",
    ),
    "pages_among": (
        "A page beside slowed transfers, on the same HTTP/2 connection",
        "Milliseconds, median and 99th percentile, beside so many streams at 150 kbit/s. -: it permits fewer streams a "
        "connection. Squid has no HTTP/2 towards clients.",
    ),
    "shares": (
        "Ten transfers under one cap",
        "Five over HTTP/1.1 and five streams of one HTTP/2 connection (Squid: ten over HTTP/1.1), from a second after "
        "the last began: Jain's index over all and in the worst second, where 1 is an even share, and what all got "
        "together over the cap. nginx has no such cap: limit_rate is for one response.",
    ),
    "costs": (
        "What a slowed transfer costs",
        "100 transfers of 50 MB at 150 kbit/s at once, then 200, by a process that has just begun and has a processor "
        "to itself; memory is what one of 100 adds. mitmproxy does not slow: the origin does it for it. Debian's "
        "Python is the one of shaper's image.",
    ),
    "read_ahead": (
        "How far ahead the origin is read",
        "By a transfer of 50 MB after 20 s, of 20 at once, while the client reads what comes at 150 kbit/s and when it "
        "reads nothing. All peers at the same time: bytes are counted, and no times. mitmproxy slows nothing: -.",
    ),
    "passes": (
        "Traffic that is not slowed",
        "One body of 50 MB by curl; pages one after another on one connection. CPU is the peer's own. A tunnel is not "
        "decrypted. Over veth, packets bound the MB/s.",
    ),
}
LINKS = {"loopback": "Over loopback:", "veth": "Over veth:"}


def write(path: Path, runs, results):
    """Write the document of kept runs and their pooled results."""
    first = runs[0]
    named = ", ".join(f"{name} {version}" for name, version in first["versions"].items())
    parts = [
        "# Benchmarks",
        f"Written by `make bench-peers`, from {len(runs)} separate runs with {first['machine']}; {named}. Figures are "
        "medians over all runs; in brackets are the least and the most, where they differ. The best of a column is "
        "bold. Ratios hold better than absolute figures: the load client, the origin and the peer share the machine. "
        "Over veth the client has a network namespace of its own, and packets are of 1500 bytes, without offloads.",
        "\n".join(_made(run) for run in runs),
    ]
    for section, (title, text) in TITLES.items():
        found = [(words, results.links[link][section]) for link, words in LINKS.items() if results.links[link][section]]
        if found:
            parts += [f"## {title}", text]
        for words, rows in found:
            parts += [words, "\n".join(_table(rows))]
    path.write_text("\n\n".join(parts) + "\n")


def _made(run):
    before, middle = run["loads"][0], median(run["loads"])
    return (
        f"- From {run['begun']} to {run['ended']} UTC over {' and '.join(run['links'])}, at commit {run['commit']}: "
        f"load average {before:.1f} before it and {middle:.1f} meanwhile, its own work included. {run['note']}".rstrip()
    )


def _table(rows):
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    yield "| |" + "|".join(f" {column} " for column in columns) + "|"
    yield "|---|" + "---:|" * len(columns)
    best = {column: _best(rows, column) for column in columns}
    for name, row in rows.items():
        cells = [_cell(row.get(column, []), best[column] == name) for column in columns]
        yield f"| {name} |" + "|".join(f" {cell} " for cell in cells) + "|"


def _good(values):
    return [value for value in values if value is not None]


def _best(rows, column):
    """Return the row that is best: where 1 is right the nearest, else the highest or the lowest."""
    found = {
        name: median(values)
        for name, row in rows.items()
        if not name.startswith("direct") and (values := _good(row.get(column, [])))
    }
    if column[0].isdigit() or column.startswith(("Jain", "all over")):
        return min(found, key=lambda name: abs(found[name] - 1), default=None)
    if column.endswith("/s"):
        return max(found, key=found.get, default=None)
    return min(found, key=found.get, default=None)


def _cell(values, is_best):
    if not (good := _good(values)):
        return "-"
    value, least, most = (show(each) for each in (median(good), min(good), max(good)))
    text = f"**{value}**" if is_best else value
    return text if least == most else f"{text} ({least}-{most})"

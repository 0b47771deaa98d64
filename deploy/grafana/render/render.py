"""Draw the dashboards as Grafana draws them, into docs/img: `python deploy/grafana/render/render.py`.

Three hours of the made-up lab (scenario.py) are written into a real Prometheus, which answers every panel's queries;
Grafana's own components (npm, see package.json) draw the answers in the system's Chromium, in light and in dark.
Needs: npm, prometheus, promtool, chromium. Run `npm ci` in this folder first.

Past 150 lines because it is one walk: tell the day, fill Prometheus, ask it, draw, shrink.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any, TextIO, cast

from PIL import Image
from playwright.sync_api import sync_playwright
from prometheus_client.core import Metric

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from private_prometheus import private_prometheus  # noqa: E402
from questions import Prometheus, boards, fill  # noqa: E402
from scenario import Lab  # noqa: E402

from shaper.record.metrics import Metrics  # noqa: E402

IMAGES = HERE.parents[2] / "docs" / "img"
HOURS, STEP = 3, 30  # of the day, and seconds between scrapes
WINDOW = f"{4 * STEP}s"
WIDTH = 1500
PICTURES = {  # name: dashboard, and the rows to show
    "study": ("shaper-study", 0, 4),
    "study-details": ("shaper-study", 4, None),
    "health": ("shaper-health", 0, None),
    "volunteers": ("shaper-volunteers", 0, None),
}
LABELS = {"instance": "proxy-1:9464", "job": "shaper"}


def tell_the_day(end: float) -> Iterator[tuple[float, Metrics]]:
    """Yield the metrics as each scrape of the day finds them. An hour in, the slow phase begins."""
    clock = [end - HOURS * 3600]
    lab = Lab(Metrics(clock=lambda: clock[0]), seed=7)
    lab.metrics.calibration(end + 9 * 86_400, "sha256:ab")
    while clock[0] <= end:
        slow = clock[0] > end - (HOURS - 1) * 3600
        lab.minute("slow" if slow else "before", pages=2)
        yield clock[0], lab.metrics
        clock[0] += STEP


def write_openmetrics(folder: Path, file: Path, end: float) -> None:
    """Write the day as OpenMetrics with times, family by family, as promtool reads it."""
    with ExitStack() as stack:
        families: dict[str, TextIO] = {}
        for at, metrics in tell_the_day(end):
            for family in [Metric("up", "", "gauge"), *metrics.registry.collect()]:
                if family.name == "up":
                    family.add_sample("up", {}, 1.0)
                if family.name not in families:
                    families[family.name] = stack.enter_context((folder / f"{family.name}.om").open("w"))
                    families[family.name].write(f"# TYPE {family.name} {family.type}\n")
                begun = end - HOURS * 3600 if family.name == "process_start_time_seconds" else None
                families[family.name].writelines(
                    f"{s.name}{_labels(s.labels)} {begun or s.value} {at:.3f}\n" for s in family.samples
                )
    with file.open("w") as out:
        for name in families:
            out.write((folder / f"{name}.om").read_text())
        out.write("# EOF\n")


def _labels(labels: dict[str, str]) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in (labels | LABELS).items()) + "}"


def _run(*command: str | Path, cwd: Path | None = None) -> None:
    subprocess.run(command, check=True, cwd=cwd)  # noqa: S603 (our own programs)


def fill_prometheus(folder: Path, end: float) -> None:
    """Make the day's blocks, and those of the recording rules over it."""
    data, source = folder / "data", folder / "day.om"
    write_openmetrics(folder, source, end)
    _run("promtool", "tsdb", "create-blocks-from", "openmetrics", source, data)
    source.unlink()
    with private_prometheus(folder) as prometheus:
        rules = HERE.parents[1] / "prometheus" / "rules" / "quantiles.yml"
        since = f"--start={end - HOURS * 3600:.0f}"
        command = ["promtool", "tsdb", "create-blocks-from", "rules", since, f"--end={end:.0f}", "--eval-interval=30s"]
        _run(*command, f"--url={prometheus.url}", f"--output-dir={data}", rules)


def legend(pattern: str, labels: dict[str, str]) -> str:
    """Fill a legend's {{label}}s in."""
    for name in {*labels, "rule", "media", "arm", "instance"}:
        pattern = pattern.replace("{{" + name + "}}", labels.get(name, ""))
    return pattern.strip(" ·") or "value"


def answer(panel: dict[str, Any], prometheus: Prometheus, end: float, **choices: str) -> dict[str, Any]:
    """Return what Prometheus says to a panel, in the shape that its kind of panel draws."""
    start = end - HOURS * 3600
    targets = [(t, fill(t["expr"], window="3h" if t.get("instant") else WINDOW, **choices)) for t in panel["targets"]]
    if panel["type"] == "table":
        return _table(panel, [prometheus.now(expr, end) for _, expr in targets])
    if panel["type"] == "heatmap":
        return _heatmap(prometheus.over(targets[0][1], start, end, 60))
    series = []
    for target, expr in targets:
        found = prometheus.now(expr, end) if target.get("instant") else prometheus.over(expr, start, end, 60)
        for one in sorted(found, key=lambda one: sorted(one["metric"].items())):
            points = one.get("values") or [one["value"]]
            series.append(
                {
                    "name": legend(target.get("legendFormat", ""), one["metric"]),
                    "labels": one["metric"],
                    "times": [at * 1000 for at, _ in points],
                    "values": [None if value == "NaN" else float(value) for _, value in points],
                }
            )
    return {"series": series}


def _table(panel: dict[str, Any], answers: list[list[dict[str, Any]]]) -> dict[str, Any]:
    organize = panel["transformations"][1]["options"]
    names = [organize["renameByName"][f"Value #{chr(65 + n)}"] for n in range(len(answers))]
    rows: dict[str, dict[str, Any]] = {}
    for name, found in zip(names, answers, strict=True):
        for one in found:
            labels = {k: v for k, v in one["metric"].items() if k not in organize["excludeByName"]}
            rows.setdefault(json.dumps(labels, sort_keys=True), labels)[name] = float(one["value"][1])
    keys = sorted({key for row in rows.values() for key in row} - set(names))
    return {"rows": [rows[key] for key in sorted(rows)], "columns": [*keys, *names]}


def _heatmap(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Turn cumulative buckets into counts, and leave out the empty bounds at both ends."""
    bounds = sorted(float(one["metric"]["le"]) for one in found)
    by_bound = {float(one["metric"]["le"]): dict(one["values"]) for one in found}
    times = sorted({at for values in by_bound.values() for at in values})
    cumulative = [[float(by_bound[bound].get(at, 0)) for bound in bounds] for at in times]
    counts = [[max(0.0, high - low) for low, high in zip([0.0, *row], row, strict=False)] for row in cumulative]
    used = [n for n in range(len(bounds)) if any(row[n] > 0 for row in counts)] or [0]
    first, last = max(used[0] - 2, 0), min(used[-1] + 3, len(bounds))
    return {
        "bounds": [None if bound == float("inf") else bound for bound in bounds[first:last]],
        "times": [at * 1000 for at in times],
        "counts": [row[first:last] for row in counts],
    }


def rows(board: dict[str, Any], first: int, beyond: int | None) -> list[dict[str, Any]]:
    """Return the panels of some of a dashboard's rows."""
    starts = [n for n, panel in enumerate(board["panels"]) if panel["type"] == "row"]
    panels: list[dict[str, Any]] = board["panels"]
    return panels[starts[first] : None if beyond is None else starts[beyond]]


def spread(panels: list[dict[str, Any]], prometheus: Prometheus, end: float) -> list[dict[str, Any]]:
    """Place the panels from the top, repeat them by arm as Grafana would, and add Prometheus's answers."""
    placed, top = [], panels[0]["gridPos"]["y"]
    for panel in panels:
        at = {"x": 0, "y": 0} | panel["gridPos"]
        at["y"] -= top
        if panel["type"] == "row":
            placed.append({"panel": panel, "at": at, "title": panel["title"]})
        elif panel.get("repeat") == "arm":
            arms = ["control", "treatment"]
            at["w"] = at["w"] // len(arms)
            for n, arm in enumerate(arms):
                title = panel["title"].replace("$arm", arm)
                told = answer(panel, prometheus, end, arm=arm)
                placed.append({"panel": panel, "at": at | {"x": at["x"] + n * at["w"]}, "title": title, **told})
        else:
            placed.append({"panel": panel, "at": at, "title": panel["title"], **answer(panel, prometheus, end)})
    return placed


def bundle(folder: Path) -> None:
    loaders = [f"--loader:.{kind}=dataurl" for kind in ("svg", "ttf", "woff2")]
    production = '--define:process.env.NODE_ENV="production"'
    command = [
        "npx",
        "esbuild",
        "page.jsx",
        "--bundle",
        "--minify",
        "--jsx=automatic",
        "--log-level=warning",
        production,
        *loaders,
    ]
    _run(*command, f"--outfile={folder / 'page.js'}", cwd=HERE)


def draw(folder: Path, pictures: dict[str, list[dict[str, Any]]], end: float) -> Iterator[tuple[str, bytes]]:
    """Yield each picture in light and in dark, as PNG."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for mode in ("light", "dark"):
            for name, panels in pictures.items():
                board = {"panels": panels, "width": WIDTH, "mode": mode}
                board["range"] = [(end - HOURS * 3600) * 1000, end * 1000]
                (folder / "index.html").write_text(
                    '<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="page.css">'
                    f'<body style="margin:0"><div id="root"></div><script>window.BOARD={json.dumps(board)}</script>'
                    '<script src="page.js"></script>'
                )
                page = browser.new_page(viewport={"width": WIDTH, "height": 1200})
                page.on("pageerror", lambda error: print(error, file=sys.stderr))
                page.goto(f"file://{folder / 'index.html'}")
                page.wait_for_selector("#board canvas", timeout=30_000)
                page.wait_for_timeout(1000)
                yield f"{name}-{mode}.png", page.locator("#board").screenshot()
                page.close()
        browser.close()


def smaller(png: bytes) -> bytes:
    """Return the same picture with 96 colours: its commonest, which are grounds, and the widest spread of the others.

    A third of the size, and no difference to see: a thin red line stays red.
    """
    picture, out, palette = Image.open(BytesIO(png)).convert("RGB"), BytesIO(), Image.new("P", (1, 1))
    common = sorted(picture.getcolors(picture.width * picture.height) or [], reverse=True)[:16]
    spread = picture.quantize(80, Image.Quantize.MAXCOVERAGE).getpalette() or []
    palette.putpalette([part for _, color in common for part in cast("tuple[int, ...]", color)] + spread)
    picture.quantize(palette=palette, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()


def main() -> None:
    end = float(int(time.time()))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill_prometheus(folder, end)
        with private_prometheus(folder) as prometheus:
            pictures = {
                name: spread(rows(boards()[uid], first, beyond), prometheus, end)
                for name, (uid, first, beyond) in PICTURES.items()
            }
        bundle(folder)
        IMAGES.mkdir(parents=True, exist_ok=True)
        for file, png in draw(folder, pictures, end):
            (IMAGES / file).write_bytes(smaller(png))
            print(IMAGES / file)


if __name__ == "__main__":
    main()

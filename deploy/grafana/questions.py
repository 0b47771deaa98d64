"""What a dashboard asks Prometheus, with Grafana's variables filled in, and Prometheus's answers."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

FOLDER = Path(__file__).parent / "dashboards"


@dataclass(frozen=True)
class Question:
    """One query of one panel, annotation or variable."""

    board: str
    place: str
    expr: str
    instant: bool = False
    legend: str = ""
    ref: str = "A"


def boards() -> dict[str, dict[str, Any]]:
    """Return each checked-in dashboard by its uid."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def questions(board: dict[str, Any]) -> Iterator[Question]:
    """Yield every query of a dashboard's panels and annotations, with variables unfilled."""
    uid = board["uid"]
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield Question(
                uid,
                panel["title"],
                target["expr"],
                target.get("instant", False),
                target.get("legendFormat", ""),
                target.get("refId") or "A",
            )
    for annotation in board["annotations"]["list"]:
        yield Question(uid, f"annotation {annotation['name']}", annotation["expr"])


def fill(expr: str, *, window: str, **choices: str) -> str:
    """Fill Grafana's variables in: every choice is `All` but for those given."""
    values = {"instance": ".+", "study": ".+", "rule": ".*", "media": ".*", "arm": ".*"} | choices
    for name, value in values.items():
        expr = expr.replace(f'"${name}"', f'"{value}"')
    return expr.replace("$__rate_interval", window).replace("$__range", window)


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus to ask."""

    url: str

    def ask(self, path: str, **parameters: object) -> Any:
        """Return the data of an API call; a refused query raises ValueError with Prometheus's own words."""
        try:
            with urlopen(f"{self.url}/api/v1/{path}?{urlencode(parameters)}", timeout=60) as answer:  # noqa: S310
                return json.load(answer)["data"]
        except HTTPError as error:
            raise ValueError(f"{parameters}: {error.read().decode(errors='replace')}") from None

    def now(self, expr: str, time: float) -> list[dict[str, Any]]:
        """Return the series of an instant query."""
        series: list[dict[str, Any]] = self.ask("query", query=expr, time=time)["result"]
        return series

    def over(self, expr: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """Return the series of a range query."""
        series: list[dict[str, Any]] = self.ask("query_range", query=expr, start=start, end=end, step=step)["result"]
        return series

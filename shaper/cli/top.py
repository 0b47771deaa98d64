"""`shaper top`: the transfers under way in a running proxy, oldest first, until Ctrl-C."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from shaper.cli.remote import TOKEN, URL, Remote
from shaper.policy.units import format_rate, format_size

type Transfer = dict[str, Any]

COLUMNS: dict[str, Callable[[Transfer], str]] = {
    "age": lambda one: f"{one['age']:.1f} s",
    "client": lambda one: one["client"] or "-",
    "arm": lambda one: one["arm"] or "-",
    "target": lambda one: one["target"],
    "rule": lambda one: one["rule"] or "-",
    "media": lambda one: one["media"] or "-",
    "waits for": lambda one: one["waits_for"],
    "passed": lambda one: format_size(one["size"], 3),
    "held back": lambda one: format_size(one["backlog"], 3),
    "mean rate": lambda one: format_rate(one["size"] * 8 / one["age"], 3) if one["age"] > 0 else "-",
    "cap": lambda one: format_rate(one["rate"], 3) if one["rate"] else "-",
}
NAMES = {"client", "arm", "target", "rule", "media", "waits for"}
WIDE, ONLY_WIDE = 120, {"client", "arm", "target", "held back"}  # columns


@click.command()
@click.option("--control", "url", default=URL, show_default=True, envvar="SHAPER_CONTROL", help="The control API.")
@click.option(
    "--token", type=click.Path(path_type=Path), default=TOKEN, show_default="~/.shaper/control.token",
    envvar="SHAPER_TOKEN", help="The file that holds its token.",
)  # fmt: skip
@click.option("--interval", type=click.FloatRange(0.1, 60), default=1.0, show_default=True, help="Seconds a frame.")
@click.option("--once", is_flag=True, help="Print one frame and end.")
def top(url: str, token: Path, interval: float, *, once: bool) -> None:
    """Watch the transfers under way."""
    from rich.console import Console  # noqa: PLC0415 - keeps `shaper --help` quick
    from rich.live import Live  # noqa: PLC0415

    remote, console = Remote(url, token), Console()
    if once:
        console.print(_frame(remote, console))
        return
    try:
        with Live(_frame(remote, console), console=console, screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(interval)
                live.update(_frame(remote, console), refresh=True)
    except KeyboardInterrupt:
        return


def _frame(remote: Remote, console: Any) -> Any:
    from rich.console import Group  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    proxy, transfers = remote.get("/v1/status")["proxy"], remote.get("/v1/transfers")["transfers"]
    state = "paused" if proxy["paused"] else proxy["mode"]
    head = Text(
        f"{proxy['study']}  {proxy['policy'][:19]}  {state}  phases: {', '.join(proxy['phases']) or 'none'}\n"
        f"{proxy['transfers']} transfers under way, {format_size(proxy['backlog'])} held back"
    )
    table, room = Table(box=None, pad_edge=False), max(1, console.height - 5)
    columns = {name: show for name, show in COLUMNS.items() if console.width >= WIDE or name not in ONLY_WIDE}
    for name in columns:
        table.add_column(name, no_wrap=True, justify="left" if name in NAMES else "right")
    for one in sorted(transfers, key=lambda one: -one["age"])[:room]:
        table.add_row(*(show(one) for show in columns.values()))
    more = len(transfers) - room
    return Group(head, table, Text(f"and {more} more" if more > 0 else ""))

"""A Prometheus of one's own on a free loopback port, with the shipped rules, for as long as a `with` block lasts."""

import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from questions import Prometheus

RULES = Path(__file__).parents[1] / "prometheus" / "rules"
STARTED = re.compile(r'msg="Listening on" address=(\S+)')
CONFIG = """
global: {{scrape_interval: {interval}, evaluation_interval: {interval}}}
rule_files: ["{rules}/*.yml"]
scrape_configs:
  - job_name: shaper
    static_configs: [{{targets: [{targets}]}}]
"""


@contextmanager
def private_prometheus(folder: Path, targets: Sequence[str] = (), interval: str = "1s") -> Iterator[Prometheus]:
    """Run a Prometheus that keeps its data and log in `folder` and scrapes the targets (`host:port`)."""
    config, log = folder / "prometheus.yml", folder / "prometheus.log"
    config.write_text(CONFIG.format(interval=interval, rules=RULES, targets=", ".join(f'"{t}"' for t in targets)))
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--storage.tsdb.retention.time=10y",
        "--web.listen-address=127.0.0.1:0",
        "--enable-feature=exemplar-storage",
    ]
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, cwd=folder) as process:  # noqa: S603
        try:
            yield Prometheus(_address(process, log))
        finally:
            process.terminate()


def _address(process: subprocess.Popen[bytes], log: Path, patience: float = 60.0) -> str:
    """Wait until the server listens and is ready, and return its URL."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and process.poll() is None:
        text = log.read_text()
        if (found := STARTED.search(text)) and "Server is ready" in text:
            return f"http://{found[1]}"
        time.sleep(0.05)
    raise RuntimeError(f"prometheus did not start:\n{log.read_text()[-2000:]}")

"""Flows: transfers with their read events, as many of each kind as fit in memory.

What an upload's client reads is its answer, which tells nothing of how fast it was sent: uploads are none. When there
are more than `MOST` of one media class, probe and arm, as many are drawn by a hash of their ids: the same ones every
time, and none of them for what they show.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from shaper.report.panel import Panel, panel
from shaper.report.rate import Reads

MOST = 300


@dataclass(frozen=True, slots=True)
class Flow:
    """One transfer, as its client saw it."""

    panel: Panel
    arm: str
    block: str  # with its run and object: what it is compared within
    duration: float
    complete: bool
    received: int
    reads: Reads
    manner: str | None  # truth, when it is known
    rate: float | None

    @property
    def goodput(self) -> float:
        """Bits a second from the request to the end."""
        return 8 * self.received / max(self.duration, 1e-6)


def flows(db: duckdb.DuckDBPyConnection, arms: Sequence[str], most: int = MOST) -> list[Flow]:
    """Return flows of every media class, probe and arm, in the order of the arms."""
    rows = db.execute(
        """
        SELECT media, probe, arm, concat_ws('/', run, block, object), duration, outcome = 'complete', received,
               list_transform(reads, lambda read: [read[2], read[3]]),
               truth.manner, truth.rate
        FROM samples WHERE len(reads) > 0 AND media != 'upload'
        QUALIFY row_number() OVER (PARTITION BY media, probe, arm ORDER BY hash(run, id)) <= ?
        ORDER BY run, block, object
        """,
        [most],
    ).fetchall()
    made = [
        Flow(panel(media, probe), arm, block, duration, complete, received, _reads(reads), manner, rate)
        for media, probe, arm, block, duration, complete, received, reads, manner, rate in rows
    ]
    return sorted(made, key=lambda flow: (flow.panel, list(arms).index(flow.arm)))


def _reads(rows: list[list[float]]) -> Reads:
    return tuple((time, int(size)) for time, size in rows)

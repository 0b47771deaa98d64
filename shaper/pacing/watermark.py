"""When a backlog asks for the origin to be held back, and when to let it go on.

Two marks with a gap between them, so that the origin is not held and let go for every piece.
"""


class Watermark:
    """Above `high` bytes the origin is held; at `low` or below it goes on; in between nothing changes."""

    __slots__ = ("high", "low", "over")

    def __init__(self, high: int, low: int) -> None:
        if not 0 <= low < high:
            raise ValueError(f"watermarks need 0 <= low < high, not {low} and {high}")
        self.high = high
        self.low = low
        self.over = False

    def cross(self, backlog: int) -> bool:
        """Note the backlog; tell whether the state changed."""
        was = self.over
        self.over = backlog > (self.low if was else self.high)
        return self.over is not was


def marks(rate: float | None) -> Watermark:
    """Return marks for a transfer capped at `rate` bytes/s (None: not capped): half a second of it, 16 to 256 KiB."""
    high = 262_144 if rate is None else int(min(262_144, max(16_384, rate / 2)))
    return Watermark(high, high // 2)

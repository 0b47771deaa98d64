"""What is compared between arms: how each figure is read off a sample, and on which scale arms differ.

Times differ by a factor: their logarithms are subtracted, and 2 means twice as long. Shares and counts are subtracted
as they are.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure. `value` is SQL over `samples`; a time that never came is known to exceed the time watched."""

    name: str
    label: str
    value: str
    pages: bool  # of page loads, else of single transfers
    factor: bool = True
    unit: str = ""  # of a difference

    @property
    def bounds(self) -> tuple[str, str]:
        """SQL for the least and the most that the figure can be, NULL where it does not apply."""
        if not self.factor:
            return self.value, self.value
        low = f"coalesce({self.value}, CASE WHEN outcome != 'complete' THEN duration END)"
        high = f"coalesce({self.value}, CASE WHEN outcome != 'complete' THEN 'inf'::DOUBLE END)"
        return f"ln(greatest({low}, 1e-6))", f"ln(greatest({high}, 1e-6))"


METRICS = (
    Metric("load", "page load", "browser.load", pages=True),
    Metric("interactive", "time to interactive", "browser.interactive", pages=True),
    Metric("lcp", "largest contentful paint", "browser.lcp", pages=True),
    Metric("video-join", "video join time", "browser.video_join", pages=True),
    Metric(
        "images-5s",
        "share of images complete at 5 s",
        "100 * browser.images_complete['5']",
        pages=True,
        factor=False,
        unit="points",
    ),
    Metric(
        "images-10s",
        "share of images complete at 10 s",
        "100 * browser.images_complete['10']",
        pages=True,
        factor=False,
        unit="points",
    ),
    Metric(
        "images-30s",
        "share of images complete at 30 s",
        "100 * browser.images_complete['30']",
        pages=True,
        factor=False,
        unit="points",
    ),
    Metric("rebuffering", "rebuffering", "browser.rebuffer", pages=True, factor=False, unit="s"),
    Metric("switches", "number of bitrate switches", "browser.switches", pages=True, factor=False),
    Metric("time", "time to complete", "CASE WHEN outcome = 'complete' THEN duration END", pages=False),
    Metric("ttfb", "time to first byte", "ttfb", pages=False),
)

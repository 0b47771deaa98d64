"""Metric families in a registry of their own, and the law of their labels: only listed values, else `unlisted`.

The registry is read from the scraper's thread. What is a state rather than an event is told just before each scrape,
so that the event loop has no part in it.
"""

import logging
from collections.abc import Callable, Iterable
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, disable_created_metrics
from prometheus_client.registry import Collector

UNLISTED = "unlisted"

log = logging.getLogger("shaper.metrics")

# Without this, prometheus_client adds a `_created` series to each counter and histogram, which nothing here reads.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Families:
    """Makes families and vets label values. Children are cached: `labels` takes most of the time of an increment."""

    def __init__(self, listed: Iterable[str]) -> None:
        self.registry = CollectorRegistry()
        self._listed = {"", *listed}
        self._asked = Asked()
        self.registry.register(self._asked)

    def before_scrape(self, tell: Callable[[], None]) -> None:
        """Have `tell` called before each scrape, in the scraper's thread, to set gauges. Its failure is logged once."""
        self._asked.tells.append(tell)

    def counter(self, name: str, help_text: str, *labels: str) -> Callable[..., Counter]:
        counter = Counter(name, help_text, labels, namespace="shaper", registry=self.registry)
        return cache(counter.labels) if labels else lambda: counter

    def gauge(self, name: str, help_text: str, *labels: str) -> Gauge:
        return Gauge(name, help_text, labels, namespace="shaper", registry=self.registry)

    def histogram(self, name: str, help_text: str, bounds: tuple[float, ...], *labels: str) -> Callable[..., Histogram]:
        histogram = Histogram(name, help_text, labels, namespace="shaper", registry=self.registry, buckets=bounds)
        return cache(histogram.labels) if labels else lambda: histogram

    def vetted(self, value: str) -> str:
        """Return the value if it may be a label, else `unlisted`."""
        return value if value in self._listed else UNLISTED


class Asked(Collector):
    """A collector without metrics of its own: registered first, it has the others brought up to date."""

    def __init__(self) -> None:
        self.tells: list[Callable[[], None]] = []
        self._failed: set[Callable[[], None]] = set()

    def collect(self) -> Iterable[Metric]:
        for tell in self.tells:
            try:
                tell()
            except Exception:
                if tell not in self._failed:
                    log.exception("Some gauges cannot be brought up to date.")
                self._failed.add(tell)
        return ()

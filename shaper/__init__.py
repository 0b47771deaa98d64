"""A media-aware traffic-shaping proxy for research."""

from importlib.metadata import version

__version__ = version("shaper")

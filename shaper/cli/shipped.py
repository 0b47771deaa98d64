"""Where the policies that come with shaper are: in the package when installed, beside it in a checkout."""

from pathlib import Path

import shaper

PACKAGE = Path(shaper.__file__).parent


def shipped(name: str) -> Path:
    """Return the path of a shipped policy, by its study's name."""
    places = [place / "policies" / f"{name}.yaml" for place in (PACKAGE, PACKAGE.parent)]
    return next((path for path in places if path.exists()), places[0])

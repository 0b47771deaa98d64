"""What the analysing commands have in common: their libraries are an extra, and what is wrong is said in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from shaper.measure.run import RunError


class UnusableError(click.ClickException):
    """An input cannot be used, or a library is absent."""

    exit_code = 2


@contextmanager
def analysing(command: str) -> Iterator[None]:
    """Turn what can go wrong for reasons outside this program into one line."""
    try:
        yield
    except ModuleNotFoundError as error:
        absent = (error.name or "").partition(".")[0]
        if absent == "shaper":
            raise
        raise UnusableError(f"{command}: {absent} is not installed; run: pip install 'shaper[analysis]'") from None
    except RunError as error:
        raise UnusableError(str(error)) from None
    except OSError as error:
        raise UnusableError(f"{error.filename}: {error.strerror}; check the path") from None

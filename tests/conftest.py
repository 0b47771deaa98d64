"""What every test may use."""

import os
import shutil

import pytest
from hypothesis import HealthCheck, settings

from shaper.onboarding.roster import open_roster
from shaper.record.log import SELDOM

# Busy machines are slow, which is no counterexample; and on CI every run tries the same examples.
settings.register_profile(
    "shaper", deadline=None, derandomize="CI" in os.environ, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("shaper")


@pytest.fixture(scope="session")
def needs():
    """Skip when a foreign program is absent, saying how to install it; on CI its absence is a failure."""

    def need(program: str, install: str) -> str:
        if path := shutil.which(program):
            return path
        message = f"{program} is not installed: {install}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)

    return need


@pytest.fixture(autouse=True)
def tell_anew():
    """Tell what another test has told within the last minute."""
    SELDOM.forget()


@pytest.fixture
def roster(tmp_path):
    """The volunteers of a study."""
    roster = open_roster(tmp_path / "volunteers.sqlite", "study")
    yield roster
    roster.close()

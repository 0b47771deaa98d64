"""What every test may use."""

import os
import shutil

import pytest


@pytest.fixture
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

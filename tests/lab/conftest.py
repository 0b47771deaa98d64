"""An origin and curl to ask it."""

import asyncio
from dataclasses import dataclass

import pytest

from shaper.lab.origin import Origin

NAME = "example.org"


@dataclass
class Got:
    """What curl printed."""

    code: int
    out: bytes
    errors: str


@pytest.fixture
async def origin():
    async with Origin([NAME]) as origin:
        yield origin


@pytest.fixture(params=["--http1.1", "--http2"])
def version(request):
    return request.param


@pytest.fixture
def curl(needs):
    program = needs("curl", "apt-get install curl")

    async def run(origin, path, *options, scheme="https"):
        port = {"https": origin.port, "http": origin.plain_port}[scheme]
        common = ["-sS", "-m", "20", "--cacert", str(origin.ca_pem), "--connect-to", f"::127.0.0.1:{port}"]
        paths = path.split()
        process = await asyncio.create_subprocess_exec(
            program, *common, *options, *(f"{scheme}://{NAME}{p}" for p in paths), stdout=-1, stderr=-1
        )
        out, errors = await process.communicate()
        return Got(process.returncode, out, errors.decode())

    return run

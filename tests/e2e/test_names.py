"""A target is a target however its name is written: case, trailing dots, ports, IDNA, addresses. Asked by curl."""

import asyncio
import os
from hashlib import sha256

import pytest
import pytest_asyncio

from shaper.lab.origin import Origin
from shaper.lab.payload import Stream, digest
from shaper.proxy.connecting import ConnectTo
from tests.e2e.conftest import policy, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOOKS = "xn--bcher-kva.test"  # bücher.test
NAMES = ["both.media.test", "media.test", BOOKS, f"www.{BOOKS}", "127.0.0.1", "::1", "mediatest", "notmedia.test"]
WRITTEN = [
    "https://both.media.test",
    "https://BOTH.Media.TEST",
    "https://both.media.test.",
    "https://both.media.test:8443",
    "https://media.test",
    "https://bücher.test",
    "https://BÜCHER.test",
    f"https://www.{BOOKS}",
    "https://[::1]",
    "https://127.0.0.1",
    "http://both.media.test",
    "http://BOTH.media.test.",
    "http://both.media.test:8080",
    "http://[::1]",
    "http://127.0.0.1:8080",
]
OTHERS = ["https://mediatest", "https://notmedia.test", "http://notmedia.test"]


@pytest.fixture(scope="module")
def origin():
    with Origin(NAMES) as origin:
        yield origin


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(origin, tmp_path_factory):
    ports = {443: origin.port, 8443: origin.port, 80: origin.plain_port, 8080: origin.plain_port}
    routes = [ConnectTo(name, port, "127.0.0.1", to) for name in NAMES for port, to in ports.items()]
    targets = policy().model_dump(mode="json", exclude_unset=True)
    targets["targets"]["media"]["hosts"] += ["bücher.test", "*.bücher.test", "::1", "127.0.0.1"]
    targeted = type(policy()).model_validate(targets)
    async with running(tmp_path_factory.mktemp("names"), routes, [origin.ca_pem], {}, targeted) as lab:
        yield lab


async def curl(program, lab, ca, url) -> bytes:
    host, port = lab.proxy.address
    command = [program, "-sS", "-g", "-m", "20", "-x", f"http://{host}:{port}", "--cacert", str(ca), url]
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    process = await asyncio.create_subprocess_exec(*command, stdout=-1, stderr=-1, env=environment)
    out, errors = await process.communicate()
    assert process.returncode == 0, (url, errors)
    return out


async def test_every_way_to_write_a_target_is_slowed(lab, needs):
    program, path = needs("curl", "apt-get install curl"), "/bytes?size=9000&type=image/jpeg"
    outs = await asyncio.gather(*(curl(program, lab, lab.proxy.ca_pem, url + path) for url in WRITTEN))
    assert {
        url for url, out in zip(WRITTEN, outs, strict=True) if sha256(out).hexdigest() != digest(Stream(9000))
    } == set()
    assert await lab.settled()
    assert [(r.reason, r.outcome, r.held > 0.05) for r in lab.records] == [("matched", "complete", True)] * len(WRITTEN)


async def test_names_that_only_resemble_a_target_are_left_alone(lab, origin, needs):
    program, path = needs("curl", "apt-get install curl"), "/bytes?size=9000&type=image/jpeg"
    already = len(lab.records)
    outs = await asyncio.gather(*(curl(program, lab, origin.ca_pem, url + path) for url in OTHERS))
    assert {sha256(out).hexdigest() for out in outs} == {digest(Stream(9000))}
    assert await lab.settled()
    assert len(lab.records) == already

"""Clients that others wrote: curl, nghttp and h2load. Browsers are in `test_browser`."""

import asyncio
import re
from contextlib import asynccontextmanager, suppress
from hashlib import sha256

import pytest

from shaper.lab.payload import Stream, digest
from tests.e2e.conftest import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

INSTALL = {"curl": "apt-get install curl", **dict.fromkeys(("nghttp", "h2load"), "apt-get install nghttp2-client")}
SECONDS = (20_000 - 2048) / 50_000  # what an image of 20 kB takes at 400 kbit/s after a burst of 2 KiB


async def out_of(program, *arguments) -> bytes:
    """Run a program and return what it wrote."""
    process = await asyncio.create_subprocess_exec(program, *map(str, arguments), stdout=-1, stderr=-1)
    out, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors.decode()
    return out


@asynccontextmanager
async def door(lab, host):
    """Listen on a port that leads to `host` through the proxy, for clients that know no proxies."""

    async def copy(reader, writer):
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def enter(reader, writer):
        inner, outer = await asyncio.open_connection(*lab.proxy.address)
        outer.write(f"CONNECT {host}:443 HTTP/1.1\r\nhost: {host}:443\r\n\r\n".encode())
        assert b" 200 " in await inner.readuntil(b"\r\n\r\n")
        await asyncio.gather(copy(reader, outer), copy(inner, writer))

    async with await asyncio.start_server(enter, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def records_since(lab, already, count):
    assert await until(lambda: len(lab.records) == already + count)
    return lab.records[already:]


@pytest.mark.parametrize("protocol", ["h1", "h2"])
async def test_curl_gets_every_byte_and_goes_on_where_it_was_cut_off(lab, needs, protocol, tmp_path):
    curl, already, file = needs("curl", INSTALL["curl"]), len(lab.records), tmp_path / "image"
    version = {"h1": "--http1.1", "h2": "--http2"}[protocol]
    through = ["-sS", version, "--cacert", lab.proxy.ca_pem, "-x", "http://{}:{}".format(*lab.proxy.address)]
    url = lab.url("/bytes?size=20000&type=image/png")
    taken = await out_of(curl, *through, url, "-o", file, "-w", "%{time_total}")
    assert sha256(file.read_bytes()).hexdigest() == digest(Stream(20_000))
    assert float(taken) > SECONDS - 0.1
    file.write_bytes(file.read_bytes()[:9000])
    await out_of(curl, *through, url, "-C", "-", "-o", file)
    assert sha256(file.read_bytes()).hexdigest() == digest(Stream(20_000))
    records = await records_since(lab, already, 2)
    assert {(r.client_protocol, r.reason, r.outcome) for r in records} == {(protocol, "matched", "complete")}
    assert [record.size for record in records] == [20_000, 11_000]


async def test_nghttp_gets_every_byte_of_streams_beside_each_other(lab, needs):
    nghttp, already = needs("nghttp", INSTALL["nghttp"]), len(lab.records)
    async with door(lab, "both.media.test") as port:
        url = f"https://127.0.0.1:{port}/bytes?size=20000&type=image/png"
        one = await out_of(nghttp, url, "-H", ":authority: both.media.test")
        many = await out_of(nghttp, "-m", 20, "-ns", url, "-H", ":authority: both.media.test")
    assert sha256(one).hexdigest() == digest(Stream(20_000))
    assert len(re.findall(rb" 200 +19K /bytes", many)) == 20, many.decode()
    records = await records_since(lab, already, 21)
    assert {(r.client_protocol, r.size, r.outcome) for r in records} == {("h2", 20_000, "complete")}
    assert min(record.duration for record in records) > SECONDS - 0.1


@pytest.mark.parametrize("protocol", ["h1", "h2"])
async def test_h2load_is_answered_whatever_it_asks_at_once(lab, needs, protocol):
    h2load, already = needs("h2load", INSTALL["h2load"]), len(lab.records)
    load = ["-n", 60, "-c", 3, "-m", 10, *(["--h1"] if protocol == "h1" else [])]
    async with door(lab, "both.media.test") as port:
        urls = [f"https://both.media.test:{port}/bytes?size={size}&type=image/png" for size in (3000, 4000)]
        said = (await out_of(h2load, *load, f"--connect-to=127.0.0.1:{port}", *urls)).decode()
    assert "60 total, 60 started, 60 done" in said, said
    assert "0 errored, 0 timeout" in said, said
    if protocol == "h2":  # over HTTP/1 it takes a status line without a phrase, which the origin sends, for no status
        assert "status codes: 60 2xx" in said, said
    assert re.search(r"\(210000\) data", said), said
    records = await records_since(lab, already, 60)
    assert {(r.client_protocol, r.reason, r.outcome) for r in records} == {(protocol, "matched", "complete")}

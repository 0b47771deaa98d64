"""Where the study's CA is of no use, connections pass as they are, and that is counted; nothing is ever broken."""

from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from shaper.lab.origin import Origin
from shaper.lab.payload import Stream, digest
from shaper.measure.probe import fetch
from shaper.policy.load import loads
from shaper.policy.refused import RefusedError
from shaper.proxy import admitting
from shaper.proxy.clock import wall
from shaper.proxy.server import ConnectTo, Proxy, Settings

HOST = "a.media.test"
POLICY = """
version: 1
study: certificates
targets: {media: {hosts: [HOSTS]}}
rules: [{name: slow, target: media, media: [image], caps: [{rate: 4 Mbit/s}]}]
"""


def policy(hosts):
    return loads(POLICY.replace("HOSTS", hosts), "policy")


@pytest.fixture(scope="module")
def origin():
    with Origin([HOST]) as origin:
        yield origin


@asynccontextmanager
async def proxying(origin, directory, hosts):
    route = ConnectTo(HOST, 443, "127.0.0.1", origin.port)
    proxy = Proxy(policy(hosts), Settings(ca_dir=directory, origin_ca=origin.ca_pem, connect_to=(route,)))
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()


async def passes(proxy, ca):
    """Whether a picture comes whole to a client that trusts this CA and no other."""
    got = await fetch(f"https://{HOST}/bytes?size=9000&type=image/jpeg", proxy=proxy.address, ca=ca)
    return got.sha256 == digest(Stream(9000))


def not_decrypted(proxy):
    return proxy.metrics.registry.get_sample_value("shaper_fallbacks_total", {"reason": "tls"})


async def test_a_host_that_no_ca_can_be_confined_to_is_relayed_and_counted(origin, tmp_path):
    async with proxying(origin, tmp_path, '{contains: "edia"}') as proxy:
        assert proxy.ca_pem is None
        assert await passes(proxy, origin.ca_pem)
        assert not_decrypted(proxy) == 1


async def test_when_the_ca_expires_while_the_proxy_runs_nothing_is_intercepted_any_more(
    origin, tmp_path, monkeypatch, caplog
):
    async with proxying(origin, tmp_path, HOST) as proxy:
        assert await passes(proxy, proxy.ca_pem)
        monkeypatch.setattr(admitting, "wall", lambda: wall() + timedelta(days=90))
        assert [await passes(proxy, origin.ca_pem) for _ in range(2)] == [True, True]
        assert not_decrypted(proxy) == 2
        assert caplog.text.count("the CA has expired") == 1


async def test_a_ca_that_was_replaced_on_disk_is_not_taken_while_the_proxy_runs(origin, tmp_path):
    async with proxying(origin, tmp_path, HOST) as proxy:
        for file in tmp_path.iterdir():
            file.unlink()
        with pytest.raises(RefusedError, match="a CA that the running proxy does not have; start the proxy anew"):
            proxy.swap(policy(HOST))

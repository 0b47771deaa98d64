"""However much is logged, nothing of whose traffic it was is in it; and what broke is told nevertheless."""

import logging

import pytest
from mitmproxy import ctx

from shaper.lab.origin import Origin
from shaper.measure.probe import fetch
from shaper.policy.load import loads
from shaper.proxy.server import ConnectTo, Proxy, Settings

HOST = "secret-host.media.test"
POLICY = """
version: 1
study: discretion
targets: {media: {hosts: ["*.media.test"]}}
rules: [{name: slow, target: media, media: [image], caps: [{rate: 4 Mbit/s}]}]
"""
TELLING = ("secret", "127.0.0.1", "media.test", "bytes?")


class Broken:
    def requestheaders(self, flow):
        raise ValueError(flow.request.url)


@pytest.fixture
async def proxy(tmp_path):
    with Origin([HOST]) as origin:
        route = ConnectTo(HOST, 443, "127.0.0.1", origin.port)
        settings = Settings(ca_dir=tmp_path / "ca", origin_ca=origin.ca_pem, connect_to=(route,))
        proxy = Proxy(loads(POLICY, "policy"), settings)
        await proxy.start()
        yield proxy
        await proxy.stop()


@pytest.mark.parametrize("protocol", ["h1", "h2"])
async def test_no_level_of_logging_tells_whose_traffic_it_was(proxy, caplog, protocol):
    caplog.set_level(logging.DEBUG)
    target = f"https://{HOST}/bytes?size=3000&type=image/jpeg&secret=1"
    ask = {"proxy": proxy.address, "protocol": protocol, "headers": [("cookie", "secret")]}
    assert (await fetch(target, ca=proxy.ca_pem, **ask)).size == 3000
    assert (await fetch(target, ca=proxy.settings.origin_ca, **ask)).size == 0  # our certificate is refused
    assert (await fetch(target.replace("secret-host", "secret-absent"), ca=proxy.ca_pem, **ask)).size == 0
    said = [record.getMessage() for record in caplog.records if record.name.startswith(("shaper.proxy", "mitmproxy"))]
    assert [line for line in said if any(word in line for word in TELLING)] == []


async def test_what_breaks_is_told_by_type_and_place(proxy, caplog):
    ctx.master.addons.add(Broken())
    await fetch(f"https://{HOST}/bytes?size=3000&secret=1", proxy=proxy.address, ca=proxy.ca_pem)
    (line,) = {record.getMessage() for record in caplog.records if record.name == "shaper.proxy.discretion"}
    assert line.startswith("mitmproxy.addonmanager:")
    assert "ValueError at " in line
    assert "test_discretion.py:" in line
    assert "secret" not in line

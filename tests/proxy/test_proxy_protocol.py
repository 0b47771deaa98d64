"""The header names the client, and nothing else passes for one."""

import asyncio
import contextlib
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import ctx

from shaper.policy.load import quick
from shaper.proxy.proxy_protocol import SIGNATURE, MalformedError, install, parse_v1, parse_v2, read_header
from shaper.proxy.server import Proxy, Settings

BODY = b"\xc0\x00\x02\x01\x7f\x00\x00\x01" + struct.pack("!HH", 5678, 8080)


@pytest.fixture(autouse=True)
def as_they_come():
    """Have later proxies of this process ask nobody for a header."""
    yield
    install([])


def v2(command=0x21, family=0x11, body=BODY):
    return SIGNATURE + bytes([command, family]) + struct.pack("!H", len(body)) + body


@pytest.mark.parametrize(
    ("line", "client"),
    [
        (b"PROXY TCP4 192.0.2.1 127.0.0.1 5678 8080\r\n", ("192.0.2.1", 5678)),
        (b"PROXY TCP6 2001:db8::1 ::1 5678 8080\r\n", ("2001:db8::1", 5678)),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ff:: ff:: 1 2\r\n", None),
    ],
)
def test_a_line_names_the_client(line, client):
    assert parse_v1(line) == client


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/1.1\r\n", b"PROXY\r\n", b"PROXY TCP4 192.0.2.1 127.0.0.1 5678\r\n",
        b"PROXY TCP4 2001:db8::1 ::1 1 2\r\n", b"PROXY TCP4 a b 1 2\r\n", b"PROXY TCP4 192.0.2.1 127.0.0.1 99999 1\r\n",
        b"PROXY UDP4 192.0.2.1 127.0.0.1 1 2\r\n", b"PROXY UNKNOWN " + b"x" * 100 + b"\r\n", b"PROXY UNKNOWN",
    ],
)  # fmt: skip
def test_anything_else_is_refused(line):
    with pytest.raises(MalformedError, match="PROXY header"):
        parse_v1(line)


def fed(data):
    async def read():
        reader = asyncio.StreamReader()
        reader.feed_data(data + b"CONNECT")
        reader.feed_eof()
        return await read_header(reader), await reader.read()

    return asyncio.run(read())


def test_what_follows_the_header_is_left_to_read():
    assert fed(v2()) == (("192.0.2.1", 5678), b"CONNECT")
    assert fed(b"PROXY TCP4 192.0.2.1 127.0.0.1 5678 8080\r\n") == (("192.0.2.1", 5678), b"CONNECT")


def test_a_binary_header_may_carry_more_and_may_speak_for_itself():
    assert fed(v2(body=b"\xc0\x00\x02\x01" * 2 + b"\0\x01\0\x02" + b"\x04\0\x01x"))[0] == ("192.0.2.1", 1)
    assert fed(v2(command=0x20))[0] is None
    assert fed(v2(family=0x12))[0] is None
    assert fed(v2(family=0x21, body=bytes(31) + b"\x01" + bytes(2) + b"\0\x02"))[0] == ("::", 0)


def test_a_short_binary_header_is_refused():
    with pytest.raises(MalformedError):
        parse_v2(b"\x21\x11\0\x04", b"\xc0\0\x02\x01")
    with pytest.raises(MalformedError):
        parse_v2(b"\x31\x11\0\x0c", bytes(12))


@given(st.binary(max_size=200))
def test_no_bytes_do_harm(data):
    with contextlib.suppress(MalformedError):
        fed(data)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


async def ask(proxy, header):
    reader, writer = await asyncio.open_connection(*proxy.address)
    writer.write(header + b"GET http://shaper.invalid/ HTTP/1.1\r\nHost: shaper.invalid\r\n\r\n")
    answer = await reader.readline()
    keys = {visitor.key for visitor in proxy.admitting.visitors.values()}
    writer.close()
    return answer, keys


async def test_the_proxy_knows_a_client_by_what_its_balancer_says(tmp_path):
    settings = Settings(ca_dir=tmp_path, proxy_protocol_from=("127.0.0.0/8",))
    proxy = Proxy(quick(["image *.example.org 1 Mbit/s"]), settings)
    await proxy.start()
    try:
        answer, keys = await ask(proxy, b"PROXY TCP4 192.0.2.7 127.0.0.1 5678 8080\r\n")
        assert (answer[:12], keys) == (b"HTTP/1.1 502", {"192.0.2.7"})
        assert (await ask(proxy, b""))[0] == b""
    finally:
        await proxy.stop()
    proxy = Proxy(quick(["image *.example.org 1 Mbit/s"]), Settings(ca_dir=tmp_path))
    await proxy.start()
    try:
        assert (await ask(proxy, b""))[1] == {"127.0.0.1"}
    finally:
        await proxy.stop()


HAPROXY = """
defaults
  mode tcp
  timeout connect 5s
  timeout client 10s
  timeout server 10s
listen balancer
  bind 127.0.0.1:{port}
  server proxy {host}:{to} {send}
"""


class Seen:
    """Who was there when a request came; afterwards they may have left."""

    def __init__(self, proxy):
        self._visitors, self.keys = proxy.admitting.visitors, set()

    def requestheaders(self, flow):
        self.keys |= {visitor.key for visitor in self._visitors.values()}


@pytest.mark.parametrize("send", ["send-proxy", "send-proxy-v2"])
async def test_behind_haproxy_a_client_is_its_address_and_no_header_it_sets(tmp_path, needs, send):
    haproxy = needs("haproxy", "apt-get install haproxy")
    proxy = Proxy(
        quick(["image *.example.org 1 Mbit/s"]), Settings(ca_dir=tmp_path, proxy_protocol_from=("127.0.0.1/32",))
    )
    await proxy.start()
    ctx.master.addons.add(seen := Seen(proxy))
    host, to = proxy.address
    port = free_port()
    (tmp_path / "haproxy.cfg").write_text(HAPROXY.format(port=port, host=host, to=to, send=send))
    balancer = await asyncio.create_subprocess_exec(haproxy, "-db", "-f", tmp_path / "haproxy.cfg")
    try:
        for _ in range(100):
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.7", 0))
                break
            await asyncio.sleep(0.05)
        writer.write(b"GET http://shaper.invalid/ HTTP/1.1\r\nHost: shaper.invalid\r\n")
        writer.write(b"X-Forwarded-For: 192.0.2.9\r\nForwarded: for=192.0.2.9\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 502")
        assert seen.keys == {"127.0.0.7"}
        writer.close()
    finally:
        balancer.terminate()
        await balancer.wait()
        await proxy.stop()

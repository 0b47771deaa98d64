"""A ClientHello in pieces: with post-quantum keys every one is larger than a packet."""

import asyncio
import ssl

import pytest

from shaper.proxy.bounds import EARLY
from tests.robust.conftest import MUCH, closed, pour

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("bystander")]


def hello(name: str, trust: ssl.SSLContext | None = None):
    """Return a ClientHello, and what carries the handshake on."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = (trust or ssl.create_default_context()).wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read(), client, incoming, outgoing


async def issuer(lab, host: str, cut: int) -> str:
    """Shake hands with a ClientHello in two pieces; return who signed the certificate that was shown."""
    trust = ssl.create_default_context(cafile=lab.proxy.settings.origin_ca)
    trust.load_verify_locations(lab.proxy.ca_pem)
    reader, writer = await lab.tunnel(host)
    data, client, incoming, outgoing = hello(host, trust)
    writer.write(data[:cut])
    await asyncio.sleep(0.05)
    writer.write(data[cut:])
    while True:
        incoming.write(await asyncio.wait_for(reader.read(65_536), 5))
        try:
            client.do_handshake()
            break
        except ssl.SSLWantReadError:
            writer.write(outgoing.read())
    names = dict(pair[0] for pair in client.getpeercert()["issuer"])
    return names.get("organizationName") or names["commonName"]


@pytest.mark.parametrize("cut", [1, 3, 5, 6, 9, 100, -1])
async def test_a_client_hello_in_pieces_is_admitted_like_a_whole_one(lab, cut):
    assert await issuer(lab, "both.media.test", cut) == "robust"
    assert await issuer(lab, "both.other.test", cut) == "Shaper lab origin CA"


async def test_a_client_hello_without_end_is_refused(lab):
    before = lab.bounded("hello")
    reader, writer = await lab.tunnel("rough.media.test")
    writer.write(b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + b"a" * (2**14 - 4))  # a handshake message of 16 MiB
    assert await pour(writer, b"\x16\x03\x01\x40\x00" + b"a" * 2**14) < MUCH
    assert await closed(reader) == b""
    assert lab.bounded("hello") == before + 1


async def test_what_comes_before_an_origin_has_shaken_hands_waits_with_the_client(lab):
    """The origin takes the connection and says nothing; the client sends its ClientHello, and then on and on."""

    async def mute(reader, writer):
        await asyncio.sleep(3600)

    lab.rough.script = mute
    _, writer = await lab.tunnel("rough.media.test", 8443)
    writer.write(hello("rough.media.test")[0])
    assert await pour(writer, b"\x17\x03\x03\x40\x00" + b"a" * 2**14) < EARLY + 2**23  # what kernels take
    lab.hang_up()

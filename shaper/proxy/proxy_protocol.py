"""The PROXY protocol, versions 1 and 2: whose connection it is, told by a load balancer in front of the proxy.

The header is believed from the networks that the operator names and from nobody else, and there it is required: a
client that could write one could choose its bucket and its arm. Source: HAProxy's proxy-protocol.txt.
"""

import asyncio
import logging
import struct
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

from mitmproxy.proxy import mode_servers

logger = logging.getLogger(__name__)

type Network = IPv4Network | IPv6Network
type Peer = tuple[str, int]

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LONGEST = 107  # of a version 1 line
PATIENCE = 5.0  # seconds for the header to come


class MalformedError(ValueError):
    """Not a PROXY header."""


async def read_header(reader: asyncio.StreamReader) -> Peer | None:
    """Read the header off a connection's start; return the client, or None for the balancer's own health checks."""
    try:
        start = await reader.readexactly(12)
        if start == SIGNATURE:
            head = await reader.readexactly(4)
            return parse_v2(head, await reader.readexactly(int.from_bytes(head[2:4])))
        line = start + await reader.readuntil(b"\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        raise MalformedError("no PROXY header") from None
    return parse_v1(line)


def parse_v1(line: bytes) -> Peer | None:
    """Return the client that a version 1 line names."""
    parts = line.removesuffix(b"\r\n").decode("ascii", "replace").split(" ")
    if len(line) > LONGEST or not line.endswith(b"\r\n") or parts[0] != "PROXY" or len(parts) < 2:
        raise MalformedError("no PROXY header")
    if parts[1] == "UNKNOWN":
        return None
    if len(parts) != 6 or parts[1] not in {"TCP4", "TCP6"}:
        raise MalformedError("a PROXY header of no known form")
    return _peer(parts[2], parts[4], 4 if parts[1] == "TCP4" else 6)


def parse_v2(head: bytes, body: bytes) -> Peer | None:
    """Return the client that a version 2 header names; `head` is what follows the signature, `body` the rest."""
    version, command, family = head[0] >> 4, head[0] & 15, head[1]
    if version != 2 or command > 1:
        raise MalformedError("a PROXY header of no known version")
    if command == 0 or family not in {0x11, 0x21}:  # LOCAL, or not TCP over IP
        return None
    size = 4 if family == 0x11 else 16
    if len(body) < 2 * size + 4:
        raise MalformedError("a PROXY header that ends early")
    (port,) = struct.unpack_from("!H", body, 2 * size)
    return _peer(str(ip_address(body[:size])), str(port), 4 if size == 4 else 6)


def _peer(address: str, port: str, version: int) -> Peer:
    try:
        parsed = ip_address(address)
    except ValueError:
        raise MalformedError("a PROXY header with no address") from None
    if parsed.version != version or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise MalformedError("a PROXY header with no address")
    return str(parsed), int(port)


def install(trusted: Sequence[Network]) -> None:
    """Have mitmproxy's listeners read the header of every connection from `trusted`, and refuse all others.

    With no network to trust they take connections as they come.
    """

    async def handle_stream(
        self: mode_servers.ServerInstance[mode_servers.mode_specs.ProxyMode],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        balancer = ip_address(writer.get_extra_info("peername")[0])
        try:
            if not any(balancer in network for network in trusted):
                raise MalformedError("a peer that is no load balancer of ours")
            async with asyncio.timeout(PATIENCE):
                client = await read_header(reader)
        except (MalformedError, TimeoutError) as error:
            logger.info("Connection refused: %s", error or "the PROXY header did not come")
            writer.close()
            return
        if client:
            writer.transport._extra["peername"] = client  # type: ignore[attr-defined]
        await _AS_THEY_COME(self, reader, writer)

    listen = handle_stream if trusted else _AS_THEY_COME
    mode_servers.ServerInstance.handle_stream = listen  # type: ignore[method-assign, assignment]


_AS_THEY_COME = mode_servers.ServerInstance.handle_stream

"""A connection to an origin, direct or through a proxy, up to the point where requests can be sent.

Bytes are handed on in the event loop's own read callback, with the instant at which the kernel had them.
"""

import asyncio
import base64
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import cast
from urllib.parse import SplitResult

import h11

from shaper.measure.stamped import StampedSocket, connect

ALPN = {"h1": "http/1.1", "h2": "h2"}


type Receive = Callable[[bytes, float], None]
type Lost = Callable[[Exception | None, float], None]


class DialError(Exception):
    """The proxy or the origin would not have us; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How to reach an origin."""

    proxy: tuple[str, int] | None = None
    auth: tuple[str, str] | None = None  # for the proxy
    address: tuple[str, int] | None = None  # where to connect instead of asking for the name's address
    ca: Path | None = None  # what to trust, and nothing else; None: what the system trusts
    receive_buffer: int | None = None  # bytes, in the kernel

    @property
    def credentials(self) -> list[tuple[str, str]]:
        """The header that the proxy asks for, if any."""
        if self.proxy is None or self.auth is None:
            return []
        return [("proxy-authorization", "Basic " + base64.b64encode(":".join(self.auth).encode()).decode())]


class Wire(asyncio.Protocol):
    """The connection. What comes in before anybody takes it is kept for whoever does."""

    def __init__(self, sock: StampedSocket) -> None:
        self.open = True
        self._socket = sock
        self._receive: Receive | None = None
        self._lost: Lost | None = None
        self._early: list[tuple[bytes, float]] = []
        self._end: tuple[Exception | None, float] | None = None

    def attach(self, receive: Receive | None, lost: Lost | None) -> None:
        """Hand bytes to `receive` and the end of the connection to `lost` from now on; None keeps them for later."""
        self._receive, self._lost = receive, lost
        if receive:
            early, self._early = self._early, []
            for data, at in early:
                receive(data, at)
        if lost and self._end:
            lost(*self._end)

    def close(self) -> None:
        """Close at once."""
        self.open = False
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._receive:
            self._receive(data, self._socket.read_at)
        else:
            self._early.append((data, self._socket.read_at))

    def connection_lost(self, exc: Exception | None) -> None:
        self.open, self._end = False, (exc, monotonic())
        if self._lost:
            self._lost(*self._end)


def port_of(url: SplitResult) -> int:
    """Return the URL's port, or its scheme's."""
    return url.port or {"https": 443, "http": 80}[url.scheme]


async def dial(url: SplitResult, protocol: str, way: Way) -> Wire:
    """Connect for requests to the origin of `url`. Raises DialError or OSError."""
    loop = asyncio.get_running_loop()
    name, port = url.hostname or "", port_of(url)
    host, at = way.proxy or way.address or (name, port)
    sock = await connect(host, at)
    if way.receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, way.receive_buffer)
    _, wire = await loop.create_connection(lambda: Wire(sock), sock=sock)
    try:
        if url.scheme == "https":
            if way.proxy:
                await _tunnel(wire, f"{name}:{port}", way)
            context = ssl.create_default_context(cafile=way.ca)
            context.set_alpn_protocols([ALPN[protocol]])
            wire.transport = cast(
                "asyncio.Transport", await loop.start_tls(wire.transport, wire, context, server_hostname=name)
            )
            if protocol == "h2" and wire.transport.get_extra_info("ssl_object").selected_alpn_protocol() != "h2":
                raise DialError("h2 was not agreed on")
    except BaseException:
        wire.transport.abort()
        raise
    return wire


async def _tunnel(wire: Wire, authority: str, way: Way) -> None:
    """Have the proxy connect us; what follows on the wire is then the origin's."""
    answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    parser = h11.Connection(h11.CLIENT)

    def receive(data: bytes, now: float) -> None:
        _ = now
        parser.receive_data(data)
        event = parser.next_event()
        if isinstance(event, h11.Response | h11.InformationalResponse) and not answered.done():
            answered.set_result(event.status_code)

    def lost(error: Exception | None, now: float) -> None:
        _ = now
        if not answered.done():
            answered.set_exception(DialError(f"the proxy hung up: {error or 'no answer'}"))

    wire.attach(receive, lost)
    request = h11.Request(method="CONNECT", target=authority, headers=[("host", authority), *way.credentials])
    wire.transport.write((parser.send(request) or b"") + (parser.send(h11.EndOfMessage()) or b""))
    status = await answered
    wire.attach(None, None)
    if not 200 <= status < 300:
        raise DialError(f"the proxy answered {status} to CONNECT")

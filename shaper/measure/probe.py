"""The active client: fetches over real HTTP/1.1 and HTTP/2, direct or through a proxy, and says what it saw.

async with await connect("https://example.org", protocol="h2", proxy=proxy, ca=ca) as session:
    page, video = await asyncio.gather(session.request("/"), session.request("/video.mp4"))
"""

import asyncio
import ssl
from pathlib import Path
from time import monotonic
from typing import Literal
from urllib.parse import urlsplit

from shaper.measure.fetched import EAGER, Appetite, Fetched, Headers, Receipt, Watch
from shaper.measure.http1 import H1Session
from shaper.measure.http2 import WINDOW, H2Session
from shaper.measure.run import Outcome
from shaper.measure.session import TIMEOUT, Session
from shaper.measure.wire import DialError, Way, dial

type Protocol = Literal["h1", "h2"]


async def connect(
    url: str,
    *,
    protocol: Protocol = "h1",
    proxy: tuple[str, int] | None = None,
    ca: Path | None = None,
    auth: tuple[str, str] | None = None,
    address: tuple[str, int] | None = None,
    receive_buffer: int | None = None,
    window: int = WINDOW,
) -> Session:
    """Open a connection to the origin of `url`. Raises DialError or OSError (of which TLS errors are a kind).

    `ca` is all that is trusted. `address` is where to connect, without a proxy, instead of asking for the name's
    address. `receive_buffer` bounds what the kernel takes ahead of an h1 client, `window` an h2 stream.
    """
    way = Way(proxy=proxy, auth=auth, address=address, ca=ca, receive_buffer=receive_buffer)
    parts, begun = urlsplit(url), monotonic()
    wire = await dial(parts, protocol, way)
    handshake = monotonic() - begun
    session: Session
    if protocol == "h2":
        session = H2Session(parts, way, wire, handshake, window)
    else:
        session = H1Session(parts, way, wire, handshake)
    session.start()
    return session


async def fetch(
    url: str,
    *,
    proxy: tuple[str, int] | None = None,
    protocol: Protocol = "h1",
    ca: Path | None = None,
    timeout: float = TIMEOUT,  # noqa: ASYNC109, a timeout is an outcome here and not an error
    method: str = "GET",
    headers: Headers = (),
    body: bytes = b"",
    auth: tuple[str, str] | None = None,
    address: tuple[str, int] | None = None,
    appetite: Appetite = EAGER,
    watch: Watch | None = None,
) -> Fetched:
    """Fetch `url` on a connection of its own. `timeout` is for all of it. Never raises for what a network may do."""
    begun = monotonic()
    failed = Receipt(url, begun)
    try:
        async with asyncio.timeout(timeout):
            session = await connect(url, protocol=protocol, proxy=proxy, ca=ca, auth=auth, address=address)
    except TimeoutError:
        failed.end(monotonic(), Outcome.TIMEOUT, f"no connection after {timeout:g} s")
        return await failed.done
    except (DialError, OSError, ssl.CertificateError) as error:
        failed.end(monotonic(), Outcome.ERROR, f"no connection: {str(error) or type(error).__name__}")
        return await failed.done
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    async with session:
        left = begun + timeout - monotonic()
        return await session.request(
            target, method=method, headers=headers, body=body, timeout=left, appetite=appetite, watch=watch
        )

"""The lab's own web server: TLS with HTTP/2 and HTTP/1.1 by ALPN, and plaintext HTTP/1.1, on loopback.

`async with Origin(names) as origin` serves in the running loop; `with Origin(names) as origin` in a thread of its own.
Plaintext speaks HTTP/2 too, to a client that knows in advance. What was asked and sent is in `seen`.
"""

import asyncio
import ssl
from asyncio.streams import StreamReader, StreamWriter
from collections.abc import Sequence
from pathlib import Path
from socket import SO_SNDBUF, SOL_SOCKET
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Self

from shaper.lab.authority import server_context
from shaper.lab.exchange import Exchange, Site
from shaper.lab.http1 import Http1
from shaper.lab.http2 import Http2
from shaper.lab.site import serve

READ = 64 * 1024


class Origin:
    """A server for `names`.

    `protocols` are what TLS offers. A small `send_buffer` (bytes, in the kernel) makes `sent` tell how far ahead the
    client reads; without one the kernel alone may take megabytes.
    """

    def __init__(
        self,
        names: Sequence[str] = ("localhost", "127.0.0.1"),
        *,
        protocols: Sequence[str] = ("h2", "http/1.1"),
        send_buffer: int | None = None,
        site: Site = serve,
    ) -> None:
        self.names = tuple(names)
        self.host = "127.0.0.1"
        self.port = self.plain_port = 0
        self.seen: list[Exchange] = []
        self._protocols, self._send_buffer, self._site = protocols, send_buffer, site
        self._directory: TemporaryDirectory[str] | None = None
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._count = 0
        self._thread: Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def ca_pem(self) -> Path:
        """The certificate that a client of this origin must trust."""
        if self._directory is None:
            raise RuntimeError("the origin is not running")
        return Path(self._directory.name) / "ca.pem"

    def exchange(self, **query: str) -> Exchange:
        """Return the latest exchange whose query has these values."""
        return next(e for e in reversed(self.seen) if query.items() <= e.request.query.items())

    async def __aenter__(self) -> Self:
        self._directory = TemporaryDirectory(prefix="shaper-origin-")
        tls = server_context(self.names, self._protocols, Path(self._directory.name))
        self.port, self.plain_port = [await self._listen(tls), await self._listen(None)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        if self._directory:
            self._directory.cleanup()
            self._directory = None

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="shaper-origin", daemon=True)
        self._thread.start()
        return asyncio.run_coroutine_threadsafe(self.__aenter__(), self._loop).result()

    def __exit__(self, *_: object) -> None:
        if self._loop and self._thread:
            asyncio.run_coroutine_threadsafe(self.__aexit__(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _listen(self, tls: ssl.SSLContext | None) -> int:
        server = await asyncio.start_server(self._accept, self.host, 0, ssl=tls)
        self._servers.append(server)
        if self._send_buffer:
            server.sockets[0].setsockopt(SOL_SOCKET, SO_SNDBUF, self._send_buffer)
        return int(server.sockets[0].getsockname()[1])

    async def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        self._count += 1
        try:
            await self._converse(reader, writer, self._count)
        except (ConnectionError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _converse(self, reader: StreamReader, writer: StreamWriter, number: int) -> None:
        writer.transport.set_write_buffer_limits(high=READ)
        data = await reader.read(READ)
        speak = Http2 if data.startswith(b"PRI ") else Http1
        connection = speak(writer, self._site, number, self.seen.append)
        try:
            while data:
                connection.receive(data)
                data = await reader.read(READ)
        finally:
            connection.lost()

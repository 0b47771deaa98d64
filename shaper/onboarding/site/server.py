"""The site on a port of its own, in a thread of its own. Requests are answered by a few workers.

Tornado, which mitmproxy brings along, reads the bytes: it bounds headers, bodies and idle connections, and answers
malformed HTTP by itself. Nothing is written down about a request: Tornado's own warnings name addresses, so they are
silenced for the process.
"""

import asyncio
import logging
import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.wsgi import WSGIContainer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

logging.getLogger("tornado").setLevel(logging.CRITICAL)

WORKERS = 8
IDLE = 60.0  # seconds a silent connection is kept
LARGEST_HEADER = 32 * 1024
LARGEST_BODY = 256 * 1024  # the application refuses smaller ones in words


@dataclass(frozen=True, slots=True)
class Serving:
    """A running site."""

    host: str
    port: int
    _loop: asyncio.AbstractEventLoop
    _thread: Thread

    def close(self) -> None:
        """Stop serving and wait until it has stopped."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


class _Quiet(WSGIContainer):
    """Keeps no access log."""

    def _log(self, status_code: int, request: object) -> None:
        """Write nothing: a request's address is nobody's business."""


def serve(
    app: "WSGIApplication",
    host: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
    largest: int = LARGEST_BODY,
) -> Serving:
    """Serve until closed; port 0 takes a free one. With `tls`, over https: the check host needs that, too."""
    sockets = bind_sockets(port, host)
    loop = asyncio.new_event_loop()
    workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="site")

    async def start() -> HTTPServer:
        server = HTTPServer(
            _Quiet(app, workers),
            ssl_options=tls,
            idle_connection_timeout=IDLE,
            body_timeout=IDLE,
            max_header_size=LARGEST_HEADER,
            max_body_size=largest,
        )
        server.add_sockets(sockets)
        return server

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_forever()
        server = starting.result()
        server.stop()
        loop.run_until_complete(server.close_all_connections())
        loop.close()
        workers.shutdown(wait=False, cancel_futures=True)

    starting = asyncio.run_coroutine_threadsafe(start(), loop)
    thread = Thread(target=run, name="site", daemon=True)
    thread.start()
    starting.result()  # a loop that is not yet running would forget that it is to stop
    return Serving(host, int(sockets[0].getsockname()[1]), loop, thread)

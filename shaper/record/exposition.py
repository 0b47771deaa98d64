"""Metrics over HTTP, in a thread of its own: /metrics in the format the scraper asks for, /healthz for a supervisor.

The proxy's event loop is never involved: a slow or stuck scraper costs a thread, for at most TIMEOUT seconds.
Writing out 15,000 series takes about 0.2 s of the interpreter, which the loop would have to wait for in turns of 5 ms,
one for each of its system calls. Turns of SLICE keep it within a few milliseconds.
"""

import socket
import sys
import threading
from collections.abc import Callable, Iterable
from socketserver import TCPServer
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler

from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from shaper.policy.refused import RefusedError
from shaper.record.metrics import Metrics

TIMEOUT = 10.0
SCRAPERS = 16  # at once; more are hung up on
SLICE = 0.0005

type App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Exposition:
    """A server under way."""

    def __init__(self, server: "_Server") -> None:
        self.address = (server.server_name, server.server_port)
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        host, port = self.address
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/metrics"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve(metrics: Metrics, host: str, port: int) -> Exposition:
    """Serve the metrics, or refuse in one line an address that cannot be had."""
    try:
        server = (_Server6 if ":" in host else _Server)((host, port), _Handler)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RefusedError(
            f"{host}:{port}: metrics cannot be served here: {reason}",
            "name another HOST:PORT, or stop what listens there",
        ) from None
    sys.setswitchinterval(min(sys.getswitchinterval(), SLICE))
    server.set_app(_app(make_wsgi_app(metrics.registry)))
    return Exposition(server)


def _app(metrics_app: App) -> App:
    """Route by path; prometheus_client's own application answers every path with metrics."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/metrics":
                return metrics_app(environ, start_response)
            case "/healthz":
                start_response("200 OK", [("Content-Type", "text/plain")])
                return [b"ok\n"]
            case _:
                start_response("404 Not Found", [("Content-Type", "text/plain")])
                return [b"see /metrics and /healthz\n"]

    return app


class _Server(ThreadingWSGIServer):
    def __init__(self, *args: Any) -> None:
        self._free = threading.BoundedSemaphore(SCRAPERS)
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Have a thread answer, if there is one to spare."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, in a thread that is free again afterwards."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def server_bind(self) -> None:
        """Bind without the reverse DNS look-up of http.server, which can take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def handle_error(self, request: object, client_address: object) -> None:
        """A scraper that hangs up is no event."""


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = TIMEOUT

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name in the base class)
        """Log no request."""

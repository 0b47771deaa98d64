"""From mitmproxy's request and response to the facts that a policy judges. Hosts and paths end here: none is kept."""

from mitmproxy import http
from mitmproxy.net.http.http1 import expected_http_body_size

from shaper.policy.verdict import Facts

LONGEST = 1024
"""Characters of a host and of a content type. What looks them up remembers thousands, so they must not be long."""


def host_of(request: http.Request) -> str:
    """Return the host that a request is for; one too long to be anybody's is nobody's."""
    host = str(request.pretty_host)
    return host if len(host) <= LONGEST else ""


def response_facts(flow: http.HTTPFlow, host: str, head: bytes = b"") -> Facts:
    """Return the facts of a response whose headers are in; `head` is the first of its body, when that is in too."""
    request, response = flow.request, flow.response
    assert response
    return Facts(
        host=host,
        method=request.method.upper(),
        status=response.status_code,
        path=request.path,
        content_type=_types(response.headers),
        content_length=_length(flow),
        fetch_dest=request.headers.get("sec-fetch-dest", "").strip().lower(),
        upgrade=response.status_code == 101,
        head=head if _is_plain(response.headers) and _starts_at_first_byte(response) else b"",
    )


def request_facts(flow: http.HTTPFlow, host: str, head: bytes = b"") -> Facts:
    """Return the facts of a request's body, which is judged like a response's but travels up."""
    request = flow.request
    return Facts(
        host=host,
        method=request.method.upper(),
        path=request.path,
        content_type=_types(request.headers),
        head=head if _is_plain(request.headers) else b"",
        up=True,
    )


def _types(headers: http.Headers) -> tuple[str, ...]:
    return tuple(value[:LONGEST] for value in headers.get_all("content-type")[:8])


def _is_plain(headers: http.Headers) -> bool:
    """Whether the body's bytes are the resource's, not compressed."""
    return str(headers.get("content-encoding", "identity")).strip().lower() == "identity"


def _starts_at_first_byte(response: http.Response) -> bool:
    """Whether the body begins where the resource does: the middle of a file proves nothing."""
    start = response.headers.get("content-range", "bytes 0-").lower().removeprefix("bytes").strip()
    return str(start).startswith("0-")


def _length(flow: http.HTTPFlow) -> int | None:
    try:
        size = expected_http_body_size(flow.request, flow.response)
    except ValueError:
        return None
    return size if size is not None and size >= 0 else None


def protocol(version: str) -> str:
    """Return h1, h2 or h3 for an HTTP version string."""
    return {"HTTP/2.0": "h2", "HTTP/3": "h3"}.get(version, "h1")

"""What to answer to a request for a resource: RFC 9110's conditions and ranges, and the knobs. Pure.

Order as in RFC 9110, 13.2.2: the status asked for, then If-None-Match, then Range under If-Range.
"""

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from werkzeug.http import parse_etags, parse_range_header

from shaper.lab.exchange import Request
from shaper.lab.knobs import Knobs
from shaper.lab.payload import Body, Stored, whole

BOUNDARY = "shaper-lab-part"
NO_BODY = Stored(b"")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of another body."""

    body: Body
    start: int
    stop: int

    @property
    def size(self) -> int:
        return self.stop - self.start

    def part(self, start: int, stop: int) -> Iterator[bytes]:
        return self.body.part(self.start + start, self.start + stop)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: `headers` say everything but how long the body is."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: Body


def answer(request: Request, content_type: str, body: Body, knobs: Knobs) -> Answer:
    """Return the response to `request` for a resource of that type and body."""
    content_type = content_type if knobs.type is None else knobs.type
    # Nothing here is secret, so the pages of any site may read and time it: the volunteers' test does.
    headers = [("cache-control", "no-store"), ("accept-ranges", "bytes")]
    headers += [("access-control-allow-origin", "*"), ("timing-allow-origin", "*")]
    if content_type.startswith("text/html"):
        headers.append(("content-security-policy", "default-src 'self'; media-src 'self' blob:; img-src 'self' data:"))
    if knobs.encoding == "gzip":
        body = Stored(gzip.compress(whole(body), mtime=0))
        headers.append(("content-encoding", "gzip"))
    etag = sha256(f"{request.path} {body.size} {knobs.encoding}".encode()).hexdigest()[:16]
    headers.append(("etag", f'"{etag}"'))
    typed = [*headers, ("content-type", content_type)] if content_type else headers

    if knobs.status in (204, 205, 304):
        return Answer(knobs.status, tuple(headers), NO_BODY)
    if knobs.status == 200 and parse_etags(request.header("if-none-match")).contains_weak(etag):
        return Answer(304, tuple(headers), NO_BODY)
    if knobs.status != 200 or request.header("if-range") not in ("", f'"{etag}"'):
        return Answer(knobs.status, tuple(typed), body)
    return _ranged(request, content_type, tuple(headers), body) or Answer(200, tuple(typed), body)


def _ranged(request: Request, content_type: str, headers: tuple[tuple[str, str], ...], body: Body) -> Answer | None:
    """Return 206 or 416 when the request names ranges that can be read, else None."""
    ranges = parse_range_header(request.header("range"))
    if request.method != "GET" or ranges is None or ranges.units != "bytes":
        return None
    parts = [_bounds(start, stop, body.size) for start, stop in ranges.ranges]
    parts = [(start, stop) for start, stop in parts if start < stop]
    if not parts:
        return Answer(416, (*headers, ("content-range", f"bytes */{body.size}")), NO_BODY)
    if len(parts) == 1:
        span = ("content-range", _span(*parts[0], body.size))
        kind = (("content-type", content_type),) if content_type else ()
        return Answer(206, (*headers, *kind, span), Part(body, *parts[0]))
    kind_line = f"Content-Type: {content_type}\r\n" if content_type else ""
    pieces = [
        f"\r\n--{BOUNDARY}\r\n{kind_line}Content-Range: {_span(*part, body.size)}\r\n\r\n".encode()
        + b"".join(body.part(*part))
        for part in parts
    ]
    multipart = Stored(b"".join(pieces) + f"\r\n--{BOUNDARY}--\r\n".encode())
    return Answer(206, (*headers, ("content-type", f"multipart/byteranges; boundary={BOUNDARY}")), multipart)


def _bounds(start: int, stop: int | None, size: int) -> tuple[int, int]:
    return (max(size + start, 0), size) if start < 0 else (start, size if stop is None else min(stop, size))


def _span(start: int, stop: int, size: int) -> str:
    return f"bytes {start}-{stop - 1}/{size}"

"""The origin's site: the demo's files, `/bytes` of any size, an upload sink, and server-sent events."""

import json
from asyncio import sleep
from base64 import b64encode
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from time import monotonic

from shaper.lab.answer import NO_BODY, Answer, answer
from shaper.lab.exchange import Exchange, Framing
from shaper.lab.knobs import Knobs, read_knobs
from shaper.lab.payload import Body, Stored, Stream

ASSETS = Path(__file__).parent / "assets"
UPLOAD = "/upload"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".m3u8": "application/vnd.apple.mpegurl",
    ".m4s": "video/iso.segment",
    ".mp4": "video/mp4",
    ".mpd": "application/dash+xml",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}


PLAYERS = {
    "/players/hls.js": "hls.js/dist/hls.light.min.js",
    "/players/dash.js": "dashjs/dist/modern/umd/dash.mediaplayer.min.js",
}


@cache
def players() -> dict[str, Stored]:
    """Return the video players by path, where a checkout has them: `make players`."""
    installed = ASSETS.parents[2] / "studies/players/node_modules"
    return {
        path: Stored((installed / file).read_bytes()) for path, file in PLAYERS.items() if (installed / file).exists()
    }


@cache
def assets() -> dict[str, Stored]:
    """Return the demo's files by path, such as `/photos/dawn.jpg`."""
    return {
        "/" + path.relative_to(ASSETS).as_posix(): Stored(path.read_bytes())
        for path in sorted(ASSETS.rglob("*"))
        if path.suffix in TYPES
    }


async def serve(exchange: Exchange) -> None:
    """Answer one request."""
    request = exchange.request
    try:
        knobs = read_knobs(request.query)
    except ValueError as error:
        await _send(exchange, Answer(400, (("content-type", "text/plain"),), Stored(f"{error}\n".encode())), Knobs())
        return
    await sleep(knobs.delay)
    if request.path == UPLOAD:
        await _send(exchange, Answer(200, (("content-type", "application/json"),), await _swallow(exchange)), knobs)
    elif request.path == "/events":
        await _tell(exchange, knobs)
    elif found := find(request.path, knobs):
        await _send(exchange, answer(request, *found, knobs), knobs)
    else:
        await _send(exchange, Answer(404, (("content-type", "text/plain"),), Stored(b"no such resource\n")), knobs)


def find(path: str, knobs: Knobs) -> tuple[str, Body] | None:
    """Return the content type and body of the resource at `path`, or None."""
    if path == "/bytes":
        return "application/octet-stream", Stream(knobs.size)
    path = "/index.html" if path == "/" else path
    body = assets().get(path) or players().get(path)
    return (TYPES[Path(path).suffix], body) if body else None


async def _send(exchange: Exchange, reply: Answer, knobs: Knobs) -> None:
    headers, body = list(reply.headers), reply.body
    trailers = knobs.trailers and (exchange.request.protocol == "h2" or knobs.framing is Framing.CHUNKED)
    if knobs.framing is Framing.LENGTH and reply.status not in (204, 304):
        headers.append(("content-length", str(body.size)))
    if trailers:
        headers.append(("trailer", "content-digest"))
    await exchange.start(reply.status, headers, knobs.framing)
    if exchange.request.method == "HEAD" or body is NO_BODY:
        await exchange.end()
        return
    hashed, begun = sha256(), monotonic()
    for piece in _pieces(body, knobs):
        if exchange.sent == knobs.stall_after:
            await sleep(knobs.stall)
        if exchange.sent == knobs.abort_after:
            exchange.cut()
            return
        await sleep(max(0.0, begun + exchange.sent * 8 / knobs.rate - monotonic()))
        await exchange.send(piece)
        hashed.update(piece)
    await exchange.end([("content-digest", f"sha-256=:{b64encode(hashed.digest()).decode()}:")] if trailers else [])


def _pieces(body: Body, knobs: Knobs) -> Iterator[bytes]:
    """Yield `body` in pieces of at most `piece` bytes, so that the places of a stall and a break lie between two."""
    edges = {min(edge, body.size) for edge in (knobs.stall_after, knobs.abort_after) if edge is not None}
    cuts = sorted({*range(0, body.size, knobs.piece), *edges, 0, body.size})
    for start, stop in pairwise(cuts):
        yield b"".join(body.part(start, stop))


async def _swallow(exchange: Exchange) -> Stored:
    """Take an upload and return what was counted and hashed."""
    size, hashed = 0, sha256()
    async for piece in exchange.body():
        size += len(piece)
        hashed.update(piece)
    return _told(size, hashed.hexdigest())


def receipt(data: bytes) -> Stored:
    """Return the answer to an upload of `data`."""
    return _told(len(data), sha256(data).hexdigest())


def _told(size: int, digest: str) -> Stored:
    return Stored(json.dumps({"size": size, "sha256": digest}).encode())


async def _tell(exchange: Exchange, knobs: Knobs) -> None:
    """Send server-sent events, with a pause before each but the first."""
    await exchange.start(200, [("content-type", "text/event-stream")], Framing.CHUNKED)
    for number in range(knobs.count):
        await sleep(knobs.every if number else 0)
        await exchange.send(f"data: {number}\n\n".encode())
    await exchange.end()

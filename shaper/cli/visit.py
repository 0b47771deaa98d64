"""The demo's page fetched as a browser would: pictures, videos and text at once, and one segment after another.

Over h2 everything of a host shares one connection, so a slowed response has its siblings right beside it; over h1
each resource has a connection of its own. What ought not to be slowed is fetched several times while the rest is
under way, and stands with its median.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Self

from shaper.lab.payload import Stored
from shaper.lab.site import TYPES, assets
from shaper.measure.fetched import Fetched, Watch
from shaper.measure.probe import Protocol, connect, fetch
from shaper.measure.session import Session
from shaper.policy.media import MediaClass

ROUNDS = 5  # of what ought not to be slowed
PAUSE = 0.2  # seconds between two rounds
TIMEOUT = 60.0

TEXT = ("/index.html", "/style.css", "/page.js", "/facts.json", "/fonts/bold.woff2")
PICTURES = tuple(f"/photos/{name}" for name in ("dawn.jpg", "valley.jpg", "contours.png", "leaves.svg", "winter.webp"))
SEGMENTS = tuple(f"/video/high/{name}" for name in ("stream.m3u8", "init.mp4", "0.m4s", "1.m4s", "2.m4s", "3.m4s"))
FILE = "/video/train.mp4"
MEDIA = {"image": MediaClass.IMAGE, "video": MediaClass.VIDEO}


@dataclass(frozen=True, slots=True)
class Resource:
    """One file of the page on one host."""

    host: str
    path: str

    @property
    def body(self) -> Stored:
        """What it must arrive as."""
        return assets()[self.path]

    @property
    def content_type(self) -> str:
        return TYPES[PurePosixPath(self.path).suffix]

    @property
    def media(self) -> MediaClass:
        """What it is, whatever the proxy takes it for."""
        return MEDIA.get(self.content_type.split("/")[0], MediaClass.OTHER)


@dataclass(frozen=True, slots=True)
class Page:
    """What is fetched in one visit: from hosts that are targeted and one that is not."""

    pictures: str
    videos: str
    elsewhere: str

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.pictures, self.videos, self.elsewhere)))

    @property
    def together(self) -> tuple[Resource, ...]:
        """The pictures and the video file: under way at the same time."""
        return (*(Resource(self.pictures, path) for path in PICTURES), Resource(self.videos, FILE))

    @property
    def in_turn(self) -> tuple[Resource, ...]:
        """The playlist and its segments: each asked for when the one before is there."""
        return tuple(Resource(self.videos, path) for path in SEGMENTS)

    @property
    def beside(self) -> tuple[Resource, ...]:
        """What ought to come as fast beside them as without them."""
        elsewhere = (TEXT[0], TEXT[2], PICTURES[0], FILE)
        return (
            *(Resource(self.pictures, path) for path in TEXT),
            *(Resource(self.elsewhere, path) for path in elsewhere),
        )

    @property
    def resources(self) -> tuple[Resource, ...]:
        return (*self.together, *self.in_turn, *self.beside)


@dataclass(frozen=True, slots=True)
class Route:
    """How the page's hosts are reached: through which proxy, and whom to believe for each."""

    proxy: tuple[str, int]
    trust: Mapping[str, Path]


class Client:
    """Connections to some hosts, as the protocol has them."""

    def __init__(self, protocol: Protocol, route: Route) -> None:
        self._protocol, self._route = protocol, route
        self._sessions: dict[str, Session] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, hosts: Iterable[str], protocol: Protocol, route: Route) -> AsyncIterator[Self]:
        """Connect to each host over h2; h1 connects for each request."""
        client = cls(protocol, route)
        async with AsyncExitStack() as stack:
            for host in hosts if protocol == "h2" else ():
                session = await connect(f"https://{host}", protocol=protocol, proxy=route.proxy, ca=route.trust[host])
                client._sessions[host] = await stack.enter_async_context(session)
            yield client

    async def get(self, resource: Resource, watch: Watch | None = None) -> Fetched:
        """Fetch one resource."""
        host, path = resource.host, resource.path
        if session := self._sessions.get(host):
            return await session.request(path, timeout=TIMEOUT, watch=watch)
        proxy, ca = self._route.proxy, self._route.trust[host]
        return await fetch(f"https://{host}{path}", proxy=proxy, ca=ca, timeout=TIMEOUT, watch=watch)


async def visit(page: Page, protocol: Protocol, route: Route, watch: Watch) -> dict[Resource, Fetched]:
    """Fetch the page; `watch` is told of every read of what is fetched once."""

    async def in_turn() -> list[Fetched]:
        return [await client.get(resource, watch) for resource in page.in_turn]

    async def beside() -> list[Fetched]:
        rounds: list[list[Fetched]] = []
        for _ in range(ROUNDS):
            await asyncio.sleep(PAUSE)
            rounds.append([await client.get(resource) for resource in page.beside])
        return [_median(fetched) for fetched in zip(*rounds, strict=True)]

    async with Client.open(page.hosts, protocol, route) as client:
        together = asyncio.gather(*(client.get(resource, watch) for resource in page.together))
        parts = await asyncio.gather(together, in_turn(), beside())
    return dict(zip(page.resources, (fetched for part in parts for fetched in part), strict=True))


async def again(resources: Sequence[Resource], protocol: Protocol, route: Route) -> dict[Resource, Fetched]:
    """Fetch some resources at the same time and nothing else."""
    async with Client.open({resource.host for resource in resources}, protocol, route) as client:
        return dict(zip(resources, await asyncio.gather(*map(client.get, resources)), strict=True))


def _median(fetched: Sequence[Fetched]) -> Fetched:
    """Return the one in the middle by duration, unless one of them went wrong: then that one."""
    wrong = [each for each in fetched if each.error or each.sha256 != fetched[0].sha256]
    return wrong[0] if wrong else sorted(fetched, key=lambda each: each.duration)[len(fetched) // 2]

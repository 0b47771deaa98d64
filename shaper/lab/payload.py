"""Bodies that can be sent in any part, and a stream of any size whose hash both ends can compute.

Block i of the stream is drawn from a generator seeded with i, so no two blocks are alike and a lost, repeated or
swapped one changes the hash.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from random import Random
from typing import Protocol

BLOCK = 64 * 1024


class Body(Protocol):
    """Bytes of a known size, given out in pieces of any part."""

    @property
    def size(self) -> int: ...

    def part(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes from `start` up to but not including `stop`."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Bytes held in memory."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def part(self, start: int, stop: int) -> Iterator[bytes]:
        yield from (self.data[at : min(at + BLOCK, stop)] for at in range(start, stop, BLOCK))


@dataclass(frozen=True, slots=True)
class Stream:
    """The first `size` bytes of the pseudo-random stream, made as they are needed."""

    size: int

    def part(self, start: int, stop: int) -> Iterator[bytes]:
        for index in range(start // BLOCK, -(-stop // BLOCK)):
            base = index * BLOCK
            yield _block(index)[max(start - base, 0) : stop - base]


@lru_cache(maxsize=64)
def _block(index: int) -> bytes:
    return Random(index).randbytes(BLOCK)  # noqa: S311, it hides nothing


def whole(body: Body) -> bytes:
    """Return all bytes of `body`."""
    return b"".join(body.part(0, body.size))


def digest(body: Body) -> str:
    """Return the SHA-256 of `body` as hexadecimal digits."""
    hashed = sha256()
    for piece in body.part(0, body.size):
        hashed.update(piece)
    return hashed.hexdigest()

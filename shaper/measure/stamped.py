"""A TCP socket that knows when the kernel had what was read from it last.

A client that is busy reads late: its own load would show as the origin's, or the proxy's. Linux notes when each packet
arrived (SO_TIMESTAMPNS, socket(7)) and tells it with a read, in the time of day; here it is an instant of the monotonic
clock. Where there are no such notes, the instant of the read serves.
"""

import asyncio
import socket
import struct
import sys
from collections.abc import Buffer, Iterable
from contextlib import suppress
from time import monotonic, time

_NOTED = 64  # SO_TIMESTAMPNS_NEW of Linux, which Python has no name for
_NOTE = struct.Struct("=qq")  # seconds and nanoseconds since 1970
_ROOM = socket.CMSG_SPACE(_NOTE.size)

type _Notes = Iterable[tuple[int, int, bytes]]


class StampedSocket(socket.socket):
    """What asyncio reads, through `recv` and `recv_into`, is stamped: `read_at` never goes back."""

    read_at = 0.0

    def have_notes(self) -> None:
        """Ask the kernel for its notes, if it makes any."""
        if sys.platform == "linux":
            with suppress(OSError):  # older than Linux 5.1
                self.setsockopt(socket.SOL_SOCKET, _NOTED, 1)

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        data, notes, _, _ = self.recvmsg(bufsize, _ROOM, flags)
        self._stamp(notes)
        return data

    def recv_into(self, buffer: Buffer, nbytes: int = 0, flags: int = 0) -> int:
        size, notes, _, _ = self.recvmsg_into([memoryview(buffer)[: nbytes or None]], _ROOM, flags)
        self._stamp(notes)
        return size

    def _stamp(self, notes: _Notes) -> None:
        age = 0.0
        for level, kind, note in notes:
            if level == socket.SOL_SOCKET and kind == _NOTED and len(note) == _NOTE.size:
                seconds, nanoseconds = _NOTE.unpack(note)
                age = max(0.0, time() - seconds - nanoseconds / 1e9)
        self.read_at = max(self.read_at, monotonic() - age)


async def connect(host: str, port: int) -> StampedSocket:
    """Connect to the first of the host's addresses that accepts. Raises OSError."""
    loop = asyncio.get_running_loop()
    refused: OSError | None = None
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        made = StampedSocket(family, kind, protocol)
        try:
            made.setblocking(False)
            await loop.sock_connect(made, address)
        except OSError as error:
            made.close()
            refused = error
        except BaseException:
            made.close()
            raise
        else:
            made.have_notes()
            return made
    raise refused or OSError(f"{host} has no address")

"""Whether a client has all that was written to it: known from what its TCP has acknowledged.

The socket is held by a descriptor of our own, for the client often closes with the acknowledgement of the last byte,
and a closed socket tells nothing.
"""

import asyncio
import contextlib
import fcntl
import os
import socket
import struct
import termios
from array import array

CLOSED = 7  # TCP_CLOSE, linux/tcp_states.h
INFO = struct.Struct("=B119xQ")  # tcpi_state and tcpi_bytes_acked, linux/tcp.h


class Delivery:
    """What was written until now, on its way."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        """Begin to watch; raise OSError when the socket is no more."""
        self._writer = writer
        self._socket = socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno()))
        _, acknowledged = self._info()
        self._goal = acknowledged + self._waiting()

    def arrived(self) -> bool | None:
        """Return whether all of it arrived; None while that is not known yet. Once it is, the socket is let go."""
        state, acknowledged = self._info()
        if acknowledged >= self._goal:
            whole = True
        elif state == CLOSED or (self._writer.is_closing() and not self._waiting()):
            whole = False
        else:
            if self._writer.is_closing():  # our descriptor must not keep the end of the connection back
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_WR)
            return None
        self._socket.close()
        return whole

    def _info(self) -> tuple[int, int]:
        state, acknowledged = INFO.unpack(self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO.size))
        return state, acknowledged

    def _waiting(self) -> int:
        """Return how many bytes are not acknowledged, in the kernel and before it."""
        inside = array("i", [0])
        fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, inside)  # SIOCOUTQ, tcp(7)
        return inside[0] + self._writer.transport.get_write_buffer_size()

"""Encrypting with pyOpenSSL's own parts, in half the time of its public methods.

`sendall` and `bio_read` are a fifth of what a small piece on a connection of its own costs the proxy, and most of that
is neither encrypting nor copying. Below them are the library's own functions, which are no public interface: pyOpenSSL
is pinned, and without them its methods serve.
"""

from contextlib import suppress

from OpenSSL import SSL

try:
    from OpenSSL._util import ffi, lib
except ImportError:  # another pyOpenSSL
    ffi = lib = None

MOST = 65_535
"""Bytes taken off a TLS object at once."""

_TAKEN = ffi.new("char[]", MOST) if ffi else None


def _by_parts(tls: SSL.Connection, data: bytes) -> bytes:
    written = lib.SSL_write(tls._ssl, data, len(data))
    if written != len(data):  # it has written one record, whose size the peer may have asked for, or failed
        return _by_methods(tls, data[max(written, 0) :])
    size = lib.BIO_read(tls._from_ssl, _TAKEN, MOST)
    taken: bytes = ffi.buffer(_TAKEN, max(size, 0))[:]
    return taken if size < MOST else taken + _rest(tls)


def _by_methods(tls: SSL.Connection, data: bytes) -> bytes:
    tls.sendall(data)
    return _rest(tls)


def _rest(tls: SSL.Connection) -> bytes:
    """Take all that the TLS object wants sent."""
    parts: list[bytes] = []
    with suppress(SSL.WantReadError):
        while not parts or len(parts[-1]) == MOST:
            parts.append(tls.bio_read(MOST))
    return b"".join(parts)


encrypt = _by_parts if lib else _by_methods
"""Encrypt bytes and return all that is to be sent. Raises SSL.Error."""

"""Files that hold a secret: made for their owner alone, and refused when anybody else may read or replace them."""

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from shaper.policy.refused import RefusedError


def make(path: Path, data: bytes) -> None:
    """Write a new secret file, mode 0600, in a directory that is made 0700 if absent. Never overwrites."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(handle)


def read(path: Path) -> bytes:
    """Return the secret, or refuse in one line: a secret that others could read is no longer one."""
    with path.open("rb") as file:
        facts = os.fstat(file.fileno())
        if facts.st_uid != os.geteuid():
            raise RefusedError(f"{path}: secret: belongs to another user", f"run: chown {os.geteuid()} {path}")
        if facts.st_mode & 0o077:
            raise RefusedError(
                f"{path}: secret: others may use it (mode {stat.S_IMODE(facts.st_mode):04o})",
                f"delete it if others could have copied it, else run: chmod 600 {path}",
            )
        return file.read()


def ensure(path: Path, size: int = 32) -> bytes:
    """Return the random secret kept in this file, making it at first use. Kept as hex, one line."""
    if not path.exists():
        with suppress(FileExistsError):  # another process was quicker: its secret is the one
            make(path, secrets.token_hex(size).encode() + b"\n")
    return kept(path, size)


def kept(path: Path, size: int = 32) -> bytes:
    """Return the random secret that `ensure` keeps in this file."""
    try:
        secret = bytes.fromhex(read(path).decode())
    except ValueError as error:
        if isinstance(error, RefusedError):
            raise
        secret = b""
    if len(secret) < size:
        raise RefusedError(f"{path}: secret: not {size} bytes in hex", "delete the file; a new one is made")
    return secret

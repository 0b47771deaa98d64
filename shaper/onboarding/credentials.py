"""What a volunteer shows to the proxy: a user name and a random password, kept only as a keyed hash.

A slow hash such as bcrypt protects secrets that people choose, because those can be guessed. Ours have 160 random
bits: there is no dictionary, so stretching adds nothing, and it would cost the event loop a tenth of a second a
connection. The hash is keyed, with the key in a file of its own, so a copy of the database alone cannot even confirm
a token that its thief has found elsewhere.
"""

import base64
import hmac
import re
import secrets
from dataclasses import dataclass

BITS = 160


@dataclass(frozen=True, slots=True)
class Credential:
    """Shown once, when it is made. `token` is both parts in one word, as an invitation link carries it."""

    username: str
    password: str

    @classmethod
    def new(cls) -> "Credential":
        return cls(_word(40), _word(BITS))

    @classmethod
    def parse(cls, token: str) -> "Credential | None":
        """Return the credential that a link carries, or None when it cannot be one."""
        match = re.fullmatch(r"([a-z2-7]{8})-([a-z2-7]{32})", token)
        return cls(match[1], match[2]) if match else None

    @property
    def token(self) -> str:
        return f"{self.username}-{self.password}"

    def digest(self, key: bytes) -> bytes:
        """Return what is stored in place of the credential."""
        text = f"{self.username}\0{self.password}".encode(errors="replace")
        return hmac.digest(key, text, "sha256")


def _word(bits: int) -> str:
    """Return random lower-case letters and digits that survive being read aloud (RFC 4648 base32)."""
    return base64.b32encode(secrets.token_bytes(bits // 8)).decode().lower()

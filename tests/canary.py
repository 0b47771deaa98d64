"""Secrets to plant wherever a client can put one, and the search for them in everything that a run leaves behind."""

import base64
import gzip
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import duckdb

ADDRESS = "127.83.91.17"  # Linux takes all of 127.0.0.0/8 for its own, so a client may come from here
LEAST = 1000  # files and texts to hold at least this many bytes in all, or nothing was searched


def _secret() -> str:
    return f"canary{secrets.token_hex(8)}"


@dataclass(frozen=True)
class Canaries:
    """One secret a place; each is found in any spelling that a program might give it."""

    host: str = field(default_factory=_secret)  # a label of an untargeted host's name
    path: str = field(default_factory=_secret)
    query: str = field(default_factory=_secret)
    cookie: str = field(default_factory=_secret)
    body: str = field(default_factory=_secret)
    agent: str = field(default_factory=_secret)
    referrer: str = field(default_factory=_secret)
    field_name: str = field(default_factory=_secret)
    credential: str = field(default_factory=_secret)  # a wrong one
    address: str = ADDRESS

    @property
    def curl(self) -> list[str]:
        """Return the options with which curl plants them, but for those in the URL, the body and the credentials."""
        return [
            "--interface", self.address, "--user-agent", self.agent, "--cookie", f"id={self.cookie}",
            "--referer", f"https://elsewhere.example/{self.referrer}", "--header", f"X-{self.field_name}: 1",
        ]  # fmt: skip

    @property
    def target(self) -> str:
        """Return what to append to a URL."""
        return f"/{self.path}.jpg?secret={self.query}"

    def leaks(self, *places: Path | str | bytes) -> list[str]:
        """Return which secrets are in which of the places: files, all files below a directory, or texts."""
        found, searched = [], 0
        for name, content in _contents(places):
            searched += len(content)
            found += [f"{kind} in {name}" for kind, secret in vars(self).items() if _holds(content, str(secret))]
        assert searched >= LEAST, "there was nothing to search"
        return found


def _contents(places: tuple[Path | str | bytes, ...]) -> Iterator[tuple[str, bytes]]:
    for number, place in enumerate(places):
        if isinstance(place, Path):
            for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
                if path.suffix == ".parquet":
                    yield str(path), str(duckdb.read_parquet(str(path)).fetchall()).encode()
                elif path.is_file():
                    yield str(path), str(path).encode() + b"\n" + path.read_bytes()
        else:
            yield f"text {number}", place.encode(errors="replace") if isinstance(place, str) else place


def _holds(content: bytes, secret: str) -> bool:
    if content[:2] == b"\x1f\x8b" or b"\n\x1f\x8b" in content[:4096]:
        content += gzip.decompress(content[content.index(b"\x1f\x8b") :])
    return re.search(b"|".join(map(re.escape, _spellings(secret))), content, re.IGNORECASE) is not None


def _spellings(secret: str) -> set[bytes]:
    raw = secret.encode()
    # A run of base64 depends on where it begins: three offsets, less the characters that neighbours share.
    runs = {base64.b64encode(b"\0" * lead + raw)[-(-lead * 8 // 6) :].rstrip(b"=")[:-1] for lead in range(3)}
    return {raw, raw[::-1], raw.hex().encode(), secret.encode("utf-16-le"), quote(secret, safe="").encode(), *runs}


def spellings(secret: str) -> Mapping[str, bytes]:
    """Return the secret as programs are known to spell it, for the test of the search."""
    raw = secret.encode()
    return {
        "plain": raw,
        "upper-case": raw.upper(),
        "hex": raw.hex().encode(),
        "UTF-16": secret.encode("utf-16"),
        "base64": base64.b64encode(raw),
        "base64 within": base64.b64encode(b"u:" + raw + b" and more"),
        "base64 of a URL": base64.urlsafe_b64encode(b"https://x/" + raw + b"?y"),
        "gzip": gzip.compress(b"a line\n" + raw),
    }

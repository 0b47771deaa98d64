"""How a Content-Type field is read: as browsers read it, which forgives what origins get wrong.

RFC 9110 section 8.3 defines the field; Fetch, "extract a MIME type", says what to do with several values and with
garbage. Both functions are total and linear in their input.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

_ELEMENT = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*+"?)++', re.DOTALL)  # commas within quotes do not separate
_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110 section 5.6.2, "token"
_ESSENCE = re.compile(rf"[ \t\r\n]*({_NAME}/{_NAME})[ \t\r\n]*(?:;|\Z)")
_FIRST_PART = re.compile(rb"\s*--[^\r\n]*\r?\n((?:[^\r\n]++\r?\n)*+)")
_FIELD = re.compile(rb"^content-type:([^\r\n]*)", re.IGNORECASE | re.MULTILINE)


def essence(values: Sequence[str]) -> str:
    """Return `type/subtype` of the last valid value, in lower case; nothing when none is valid."""
    field = ",".join(values)
    return _remembered(field) if len(field) <= 128 else _read(field)


def _read(field: str) -> str:
    elements = [match for element in _ELEMENT.findall(field) if (match := _ESSENCE.match(element))]
    return next((name for match in reversed(elements) if (name := match[1].lower()) != "*/*"), "")


_remembered = lru_cache(1024)(_read)  # real traffic has a few dozen different fields


def part_essence(body: bytes) -> str:
    """Return the same of a multipart body's first part; nothing when its header is not in."""
    part = _FIRST_PART.match(body)
    field = _FIELD.search(part[1]) if part else None
    return essence((field[1].decode("latin-1"),)) if field else ""

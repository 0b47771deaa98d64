"""Quantities as people write them, always with a unit: rates, sizes, durations, shares and moments.

Only text is read, so a bare number in a policy file can never pass for a rate. Bits are not bytes: a rate is
written in bit/s or B/s and kept in bits per second. k, M and G are powers of 1000; Ki, Mi and Gi (sizes only) of
1024. Case matters, because b and B, m and M do. What a policy prints is read back as the same number.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from math import isfinite
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from shaper.policy.refused import RefusedError, shown

type Units = dict[str, Decimal]

EXACT = 17  # significant digits that tell any two floats apart
NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,30})?"
MOMENT = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)$"
SI = {"": Decimal(1), "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9)}

BITS: Units = {f"{prefix}bit/s": factor for prefix, factor in SI.items()}
BYTES: Units = {f"{prefix}B/s": 8 * factor for prefix, factor in SI.items()}
DECIMAL_SIZES: Units = {f"{prefix}B": factor for prefix, factor in SI.items()}
BINARY_SIZES: Units = {"KiB": Decimal(2**10), "MiB": Decimal(2**20), "GiB": Decimal(2**30)}
SECONDS: Units = {"ms": Decimal("0.001"), "s": Decimal(1)}
MINUTES: Units = {"min": Decimal(60), "h": Decimal(3600), "d": Decimal(86400)}


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """One kind of quantity: its noun, its units, the range that makes sense, and what to write instead."""

    noun: str
    units: Units
    low: str
    high: str
    remedy: Callable[[str], str]

    @property
    def pattern(self) -> str:
        return f"({NUMBER}) *({'|'.join(map(re.escape, self.units))})"

    def parse(self, value: object) -> Decimal:
        """Return the quantity in its base unit, exactly, or raise RefusedError."""
        text = value.strip() if isinstance(value, str) else ""
        if (amount := self._amount(text)) is None:
            raise RefusedError(f"{shown(value)} is not a {self.noun}", self.remedy(str(value).strip()))
        low, high = self._amount(self.low), self._amount(self.high)
        if low is None or high is None or not low <= amount <= high:
            raise RefusedError(f"{shown(value)} is out of range", f"write {self.low} to {self.high}")
        return amount

    def _amount(self, text: str) -> Decimal | None:
        match = re.fullmatch(self.pattern, text)
        return Decimal(match[1]) * self.units[match[2]] if match else None

    @property
    def schema(self) -> WithJsonSchema:
        return WithJsonSchema({"type": "string", "pattern": f"^{self.pattern}$", "description": f"A {self.noun}"})


def write(*examples: str) -> Callable[[str], str]:
    """Return a remedy that names the examples whatever was written."""
    text = "write for example " + " or ".join(f'"{example}"' for example in examples)
    return lambda _: text


def rate_remedy(text: str) -> str:
    """Say how what was probably meant is written: in bits and the same in bytes, or in bytes if plain."""
    match = re.fullmatch(rf"({NUMBER}) *([kmg]?)i?([a-z/ ]*)", text, re.IGNORECASE)
    if not match or not match[1].strip("0."):
        return write("150 kbit/s", "250 kB/s")("")
    number, prefix, rest = match[1], match[2].upper().replace("K", "k"), match[3]
    in_bytes = "bit" not in rest.lower() and (rest.startswith("B") or "byte" in rest.lower())
    meant = f"{number} {prefix or ('' if rest else 'k')}{'B' if in_bytes else 'bit'}/s"
    try:
        rate = parse_rate(meant)
    except RefusedError as refused:
        return refused.remedy
    return f'write "{meant}"' if in_bytes else f'write "{meant}" or "{_in(rate, BYTES, EXACT)}"'


RATE = Quantity(noun="rate", units={**BITS, **BYTES}, low="1 bit/s", high="1000 Gbit/s", remedy=rate_remedy)
SIZE = Quantity(
    noun="size",
    units={**DECIMAL_SIZES, **BINARY_SIZES},
    low="0 B",
    high="1024 GiB",
    remedy=write("16 KiB", "2 kB"),
)
DURATION = Quantity(
    noun="duration",
    units={**SECONDS, **MINUTES},
    low="0 s",
    high="366 d",
    remedy=write("20 ms", "1 s", "10 min"),
)
PERIOD = replace(DURATION, low="1 ms")
SHARE = Quantity(noun="share", units={"%": Decimal("0.01")}, low="0 %", high="100 %", remedy=write("50 %"))


def parse_rate(value: object) -> float:
    """Return bits per second for text such as "150 kbit/s" or "250 kB/s"."""
    return float(RATE.parse(value))


def parse_size(value: object) -> int:
    """Return whole bytes for text such as "16 KiB" or "2 kB"."""
    size = SIZE.parse(value)
    if size != int(size):
        raise RefusedError(f"{shown(value)} is not a whole number of bytes", 'write for example "2 KiB"')
    return int(size)


def parse_duration(value: object) -> float:
    """Return seconds for text such as "20 ms" or "10 min"."""
    return float(DURATION.parse(value))


def parse_period(value: object) -> float:
    """Return seconds, more than none, for text such as "1 s"."""
    return float(PERIOD.parse(value))


def parse_share(value: object) -> float:
    """Return 0 to 1 for text such as "50 %"."""
    return float(SHARE.parse(value))


def parse_moment(value: object) -> datetime:
    """Return the instant, in UTC, for ISO 8601 text with a UTC offset such as "2021-03-10T07:00Z"."""
    text = value.strip() if isinstance(value, str) else ""
    try:
        if re.fullmatch(MOMENT, text):
            return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        pass  # no such day or hour
    remedy = 'write for example "2021-03-10T07:00Z" or "2021-03-10T10:00+03:00"'
    raise RefusedError(f"{shown(value)} is not a moment with a UTC offset", remedy)


def format_rate(rate: float, digits: int = 4) -> str:
    """Return bits per second as text, such as "150 kbit/s"."""
    return _in(rate, BITS, digits)


def format_size(size: float, digits: int = 4) -> str:
    """Return bytes as text: whole KiB, MiB and GiB as such, all others as "2.5 kB"."""
    return _in(size, _dividing(size, BINARY_SIZES) or DECIMAL_SIZES, digits)


def format_duration(seconds: float, digits: int = 4) -> str:
    """Return seconds as text: whole minutes, hours and days as such, all others as "1.5 s" or "20 ms"."""
    return _in(seconds, _dividing(seconds, MINUTES) or SECONDS, digits)


def format_share(share: float, digits: int = 4) -> str:
    """Return 0 to 1 as text, such as "50 %"."""
    return _in(share, SHARE.units, digits)


def format_moment(moment: datetime) -> str:
    """Return the instant in UTC, to the second unless it is finer."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _dividing(amount: float, units: Units) -> Units:
    return {unit: factor for unit, factor in units.items() if amount and amount % float(factor) == 0}


def _in(amount: float, units: Units, digits: int) -> str:
    """Return the amount in the largest unit in which it is at least 1; units are in rising order."""
    base = next(unit for unit in units if unit != "ms")
    if not amount or not isfinite(amount):
        return f"{amount:.0f} {base}"
    exact = Decimal(repr(amount))
    unit = next((unit for unit in reversed(units) if abs(exact) >= units[unit]), next(iter(units)))
    number = f"{Decimal(f'{exact / units[unit]:.{digits}g}'):f}"
    return f"{number.rstrip('0').rstrip('.') if '.' in number else number} {unit}"


def _text(format_: Callable[[float, int], str]) -> PlainSerializer:
    return PlainSerializer(lambda amount: format_(amount, EXACT))


type Rate = Annotated[float, BeforeValidator(parse_rate), _text(format_rate), RATE.schema]
type Size = Annotated[int, BeforeValidator(parse_size), _text(format_size), SIZE.schema]
type Duration = Annotated[float, BeforeValidator(parse_duration), _text(format_duration), DURATION.schema]
type Period = Annotated[float, BeforeValidator(parse_period), _text(format_duration), PERIOD.schema]
type Share = Annotated[float, BeforeValidator(parse_share), _text(format_share), SHARE.schema]
type Moment = Annotated[
    datetime,
    BeforeValidator(parse_moment),
    PlainSerializer(format_moment),
    WithJsonSchema({"type": "string", "pattern": MOMENT, "description": "A date with a time and a UTC offset"}),
]

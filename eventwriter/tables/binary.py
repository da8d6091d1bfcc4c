"""
PostgreSQL's binary forms of single values, where psycopg's dumpers are not used.

For elements of arrays, and for types whose values come as text. Pure.
"""

import ipaddress
import re
import struct
from collections.abc import Sequence
from decimal import Decimal

INT2 = struct.Struct("!h").pack
INT4 = struct.Struct("!i").pack
INT8 = struct.Struct("!q").pack
FLOAT4 = struct.Struct("!f").pack
FLOAT8 = struct.Struct("!d").pack

_LENGTH = struct.Struct("!i").pack
_NULL = _LENGTH(-1)
_ARRAY = struct.Struct("!iiIii").pack
_EMPTY = struct.Struct("!iiI").pack
_NUMERIC = struct.Struct("!HhHH").pack
_INTERVAL = struct.Struct("!qii").pack

_INET_FAMILY = {4: 2, 6: 3}
"""PostgreSQL's own numbers, the same on every platform: PGSQL_AF_INET and PGSQL_AF_INET6."""

_SPECIAL_NUMERICS = {"n": 0xC000, "N": 0xC000, "F": 0xD000}
_NUMERIC_DIGITS_MAX, _NUMERIC_SCALE_MAX = 131_072, 16_383
"""Before and after the decimal point. Source: PostgreSQL documentation, "Arbitrary Precision Numbers"."""

_ISO_DURATION = re.compile(
    r"([-+])?P(?=.)(?:([0-9]+)Y)?(?:([0-9]+)M)?(?:([0-9]+)W)?(?:([0-9]+)D)?"
    r"(?:T(?=.)(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+(?:[.,][0-9]+)?)S)?)?"
)
_CLOCK_DURATION = re.compile(r"([-+])?(?:([0-9]+) ?d(?:ays?)? ?)?([0-9]+):([0-5][0-9])(?::([0-5][0-9](?:\.[0-9]+)?))?")
_INT4_MAX, _INT8_MAX = 2**31 - 1, 2**63 - 1
_SECONDS_DIGITS_MAX = 15


def array(element_oid: int, elements: Sequence[bytes | None]) -> bytes:
    """
    Return an array of one dimension; an empty one has none.

    Source: PostgreSQL's array_recv().
    """
    if not elements:
        return _EMPTY(0, 0, element_oid)
    head = _ARRAY(1, int(None in elements), element_oid, len(elements), 1)
    return head + b"".join([_NULL if e is None else _LENGTH(len(e)) + e for e in elements])


def storable(value: Decimal) -> bool:
    """Say whether `numeric` can hold a number: it has limits, and far within Decimal's."""
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        return True
    return value.adjusted() < _NUMERIC_DIGITS_MAX and exponent >= -_NUMERIC_SCALE_MAX


def numeric(value: Decimal) -> bytes:
    """
    Return a `numeric`; the number must be `storable`.

    Source: PostgreSQL's numeric_recv(): digits of base 10,000, the first one's weight, sign, decimal places.
    """
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        special = _SPECIAL_NUMERICS[exponent]
        return _NUMERIC(0, 0, 0xF000 if special == 0xD000 and sign else special, 0)
    text = "".join(map(str, digits)) + "0" * max(0, exponent)
    scale = max(0, -exponent)
    whole, part = (text[:-scale], text[-scale:].rjust(scale, "0")) if scale else (text, "")
    whole = whole.lstrip("0")
    whole = whole.rjust(-(-len(whole) // 4) * 4, "0")
    padded = whole + part.ljust(-(-scale // 4) * 4, "0")
    groups = [int(padded[at : at + 4]) for at in range(0, len(padded), 4)]
    return _NUMERIC(len(groups), len(whole) // 4 - 1, 0x4000 if sign else 0, scale) + b"".join(map(INT2, groups))


def inet(text: str, cidr: bool = False) -> bytes:
    """
    Return an `inet`, or a `cidr`, of an address in text.

    Raises:
        ValueError: It is none, it has a zone, or (cidr) bits to the right of its mask.

    Source:
        PostgreSQL's network_recv(): family, prefix length, is-cidr, address length, address.
    """
    if "%" in text:
        raise ValueError("a zone cannot be stored")
    interface = ipaddress.ip_interface(text)
    if cidr and interface.ip != interface.network.network_address:
        raise ValueError("bits to the right of the mask are set")
    address = interface.ip.packed
    family = _INET_FAMILY[interface.version]
    return bytes((family, interface.network.prefixlen, int(cidr), len(address))) + address


def interval(value: str | float) -> bytes:
    """
    Return an `interval`, of seconds or of text: ISO 8601 ("P1DT2H30M"), a clock's ("1 day 02:30:00", "02:30").

    Months, days and microseconds stay apart, as PostgreSQL keeps them.

    Raises:
        ValueError: It is no duration, or too long.

    Source: PostgreSQL's interval_recv().
    """
    months, days, us = _interval_parts(value)
    if max(abs(months), abs(days)) > _INT4_MAX or abs(us) > _INT8_MAX:
        raise ValueError("too long")
    return _INTERVAL(us, days, months)


def _interval_parts(value: str | float) -> tuple[int, int, int]:
    if not isinstance(value, str):
        return 0, 0, _seconds_us(value)
    if found := _ISO_DURATION.fullmatch(value):
        sign = -1 if found[1] == "-" else 1
        years, months, weeks, days, hours, minutes = (int(part or 0) for part in found.groups()[1:7])
        us = (hours * 3600 + minutes * 60) * 1_000_000 + _seconds_us(found[8])
        return sign * (years * 12 + months), sign * (weeks * 7 + days), sign * us
    if found := _CLOCK_DURATION.fullmatch(value):
        sign = -1 if found[1] == "-" else 1
        us = (int(found[3]) * 3600 + int(found[4]) * 60) * 1_000_000 + _seconds_us(found[5])
        return 0, sign * int(found[2] or 0), sign * us
    return 0, 0, _seconds_us(value)


def _seconds_us(value: str | float | None) -> int:
    try:
        seconds = Decimal("0" if value is None else str(value).replace(",", "."))
    except ArithmeticError:
        raise ValueError("no number") from None
    # Far more than an interval holds; digits are not spelled out for what is refused anyway.
    if not seconds.is_finite() or seconds.adjusted() > _SECONDS_DIGITS_MAX:
        raise ValueError("too long")
    return round(seconds * 1_000_000)

"""
PostgreSQL's binary format of single values, for cases that psycopg's dumpers do not cover.

Used for elements of arrays and for types whose values arrive as text. Pure.
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
"""PostgreSQL's PGSQL_AF_INET and PGSQL_AF_INET6, which are the same on every platform."""

_SPECIAL_NUMERICS = {"n": 0xC000, "N": 0xC000, "F": 0xD000}
_ISO_DURATION = re.compile(
    r"([-+])?P(?=.)(?:([0-9]+)Y)?(?:([0-9]+)M)?(?:([0-9]+)W)?(?:([0-9]+)D)?"
    r"(?:T(?=.)(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+(?:[.,][0-9]+)?)S)?)?"
)
_CLOCK_DURATION = re.compile(r"([-+])?(?:([0-9]+) ?d(?:ays?)? ?)?([0-9]+):([0-5][0-9])(?::([0-5][0-9](?:\.[0-9]+)?))?")
_INT4_MAX, _INT8_MAX = 2**31 - 1, 2**63 - 1
_SECONDS_DIGITS_MAX = 15


def array(element_oid: int, elements: Sequence[bytes | None]) -> bytes:
    """
    Encode a one-dimensional array; an empty array has no dimension.

    Source: PostgreSQL's array_recv().
    """
    if not elements:
        return _EMPTY(0, 0, element_oid)
    head = _ARRAY(1, int(None in elements), element_oid, len(elements), 1)
    return head + b"".join([_NULL if e is None else _LENGTH(len(e)) + e for e in elements])


def numeric(value: Decimal) -> bytes:
    """
    Encode a `numeric`; the number must be `formats.json.fits_numeric`.

    Source: PostgreSQL's numeric_recv(): base-10,000 digits, weight of the first one, sign, decimal places.
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
    Encode an address in text as `inet` or `cidr`.

    Raises:
        ValueError: The text is not an address, has a zone or, for cidr, has bits set to the right of its mask.

    Source:
        PostgreSQL's network_recv(): family, prefix length, is-cidr, address length, address.
    """
    if "%" in text:
        raise ValueError("an address with a zone cannot be stored")
    interface = ipaddress.ip_interface(text)
    if cidr and interface.ip != interface.network.network_address:
        raise ValueError("bits to the right of the mask are set")
    address = interface.ip.packed
    family = _INET_FAMILY[interface.version]
    return bytes((family, interface.network.prefixlen, int(cidr), len(address))) + address


def interval(value: str | float) -> bytes:
    """
    Encode an `interval` from seconds or text: ISO 8601 ("P1DT2H30M") or a clock ("1 day 02:30:00", "02:30").

    Months, days and microseconds stay separate, as in PostgreSQL.

    Raises:
        ValueError: The value is not a duration, or is too long.

    Source: PostgreSQL's interval_recv().
    """
    months, days, us = _interval_parts(value)
    if max(abs(months), abs(days)) > _INT4_MAX or abs(us) > _INT8_MAX:
        raise ValueError("too long")
    return _INTERVAL(us, days, months)


def _interval_parts(value: str | float) -> tuple[int, int, int]:
    if not isinstance(value, str):
        return 0, 0, _seconds_us(value)
    if iso := _ISO_DURATION.fullmatch(value):
        sign = -1 if iso[1] == "-" else 1
        years, months, weeks, days, hours, minutes = (int(part or 0) for part in iso.groups()[1:7])
        us = (hours * 3600 + minutes * 60) * 1_000_000 + _seconds_us(iso[8])
        return sign * (years * 12 + months), sign * (weeks * 7 + days), sign * us
    if clock := _CLOCK_DURATION.fullmatch(value):
        sign = -1 if clock[1] == "-" else 1
        us = (int(clock[3]) * 3600 + int(clock[4]) * 60) * 1_000_000 + _seconds_us(clock[5])
        return 0, sign * int(clock[2] or 0), sign * us
    return 0, 0, _seconds_us(value)


def _seconds_us(value: str | float | None) -> int:
    try:
        seconds = Decimal("0" if value is None else str(value).replace(",", "."))
    except ArithmeticError:
        raise ValueError("not a number") from None
    # Far more than an interval holds. Checked first, because rounding a huge exponent would write out its digits.
    if not seconds.is_finite() or seconds.adjusted() > _SECONDS_DIGITS_MAX:
        raise ValueError("too long")
    return round(seconds * 1_000_000)

"""
How a value of one of our column types is written into a real column of another type.

`CONVERSIONS` is the whole of it: a pair that is not there cannot be written, and
`postgres.schema.catalog` refuses the table. Pure; a converter is made when a worker binds,
and only for columns that differ, so a table as `eventwriter migrate` makes it costs
nothing here.
"""

import datetime as dt
import math
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson

from eventwriter.errors import Poison
from eventwriter.model import Adjustments
from eventwriter.tables import binary
from eventwriter.tables.generic.values import ELEMENT_OIDS

Converter = Callable[[Any], Any]
"""From a row's value (never None) to what the dumper takes. Raises only `Poison` and what encoders raise."""

JSONB_VERSION = b"\x01"
"""What binary `jsonb` begins with; `json` and text have no such byte."""

JSON_TYPES = ("jsonb", "json")
TEXT_TYPES = ("text", "character varying", "character", "citext")

_MANY_DECIMALS = re.compile(r"[eE]-0*[0-9]{5}|\.[0-9]{10000}").search
"""Of numbers; `numeric`, which `jsonb` keeps them in, has 16,383."""

_EPOCH = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_PACK_FLOAT4 = struct.Struct("!f").pack
_INT_LIMITS = {"smallint": 2**15, "integer": 2**31}


@dataclass(frozen=True, slots=True)
class Site:
    """The column that a converter works for."""

    column: str
    tally: Adjustments
    """Where adjustments are counted; written by the worker that bound the table."""


@dataclass(frozen=True, slots=True)
class Fit:
    """How a value gets into a column: psycopg's name of the dumper, and what is done before it."""

    dumper: str
    make: Callable[[Site], Converter] | None = None


def elements(array: bytes) -> list[Any]:
    """
    Decode PostgreSQL's binary array of one dimension, of `int4` or `text`.

    Returns:
        Its elements; empty for an array without dimensions.

    Source:
        PostgreSQL's array_send(): dimensions, has-NULL flag, element type, then per
        dimension its size and lower bound, then each element's length and bytes.
    """
    dimensions, _, element_type = struct.unpack_from("!iiI", array)
    if not dimensions:
        return []
    (count,) = struct.unpack_from("!i", array, 12)
    found: list[Any] = []
    at = 20
    for _ in range(count):
        (length,) = struct.unpack_from("!i", array, at)
        at += 4
        if length < 0:
            found.append(None)
            continue
        field = array[at : at + length]
        found.append(int.from_bytes(field, "big", signed=True) if element_type == 23 else field.decode())
        at += length
    return found


def uuid_text(value: bytes) -> str:
    """Write a UUID's 16 bytes in its canonical form."""
    digits = value.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def instant_text(value: int) -> str:
    """Write microseconds since 2000-01-01 UTC as ISO 8601, in UTC."""
    return (_EPOCH + dt.timedelta(microseconds=value)).isoformat()


def float_text(value: float) -> str:
    """Write a float the way PostgreSQL does: its shortest exact form, `NaN`, `Infinity`."""
    if math.isfinite(value):
        return repr(float(value))
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def json_of_text(value: str) -> bytes:
    """
    Return text as JSON: as it is where it holds a JSON object or array, else as a JSON string.

    What holds an escaped U+0000, which `jsonb` cannot, stays a string and so is kept whole. Numbers with more
    decimals than `jsonb` has (1e-20000) are rounded.
    """
    if value.lstrip()[:1] in ("{", "[") and "\\u0000" not in value:
        try:
            parsed = orjson.loads(value)
        except orjson.JSONDecodeError:
            pass
        else:
            return orjson.dumps(parsed) if _MANY_DECIMALS(value) else value.encode()
    return orjson.dumps(value)


def address(type_name: str) -> Callable[[Site], Converter]:
    """Return the maker of a converter from an address in text to binary `inet` or `cidr`."""

    def make(site: Site) -> Converter:
        def convert(value: str) -> bytes:
            try:
                return binary.inet(value, type_name == "cidr")
            except ValueError as error:
                raise Poison(
                    "bad_value", f"column {site.column} is {type_name} and cannot take {value!r}: {error}"
                ) from None

        return convert

    return make


def clamp(real: str) -> Callable[[Site], Converter]:
    """Return the maker of a converter that cuts integers to the range of `smallint` or `integer`, counting."""
    high = _INT_LIMITS[real] - 1

    def make(site: Site) -> Converter:
        def convert(value: int) -> int:
            if -high - 1 <= value <= high:
                return value
            site.tally.clamped += 1
            return high if value > 0 else -high - 1

        return convert

    return make


def float4(site: Site) -> Converter:
    """Return the converter from a float to binary `real`, which holds up to 3.4e38."""

    def convert(value: float) -> bytes:
        try:
            return _PACK_FLOAT4(value)
        except OverflowError as error:
            raise Poison("bad_value", f"column {site.column} is real and cannot hold {value!r}") from error

    return convert


def always(convert: Converter) -> Callable[[Site], Converter]:
    """Return a maker of `convert`, whatever the column."""
    return lambda _: convert


_TEXT_FORMS: Mapping[str, Converter] = {
    "float8": float_text,
    "int4": str,
    "int8": str,
    "bool": lambda value: "true" if value else "false",
    "timestamptz": instant_text,
    "uuid": uuid_text,
    "int4[]": lambda value: orjson.dumps(elements(value)).decode(),
    "text[]": lambda value: orjson.dumps(elements(value)).decode(),
}
"""Our type -> its value as text. `text`, `json` and `jsonb` are text already."""

_JSON_FORMS: Mapping[str, Callable[[Any], bytes]] = {
    "text": json_of_text,
    # NaN and the infinities have no JSON form; orjson writes null.
    "float8": orjson.dumps,
    "int4": orjson.dumps,
    "int8": orjson.dumps,
    "bool": lambda value: b"true" if value else b"false",
    "timestamptz": lambda value: orjson.dumps(instant_text(value)),
    "uuid": lambda value: orjson.dumps(uuid_text(value)),
    "int4[]": lambda value: orjson.dumps(elements(value)),
    "text[]": lambda value: orjson.dumps(elements(value)),
}
"""Our type -> its value as JSON text. `json` and `jsonb` are JSON already."""


def _versioned(form: Callable[[Any], bytes]) -> Converter:
    return lambda value: JSONB_VERSION + form(value)


CONVERSIONS: Mapping[tuple[str, str], Fit] = {
    # As eventwriter makes them: nothing to do.
    ("text", "text"): Fit("text"),
    ("float8", "double precision"): Fit("float8"),
    ("int4", "integer"): Fit("int4"),
    ("int8", "bigint"): Fit("int8"),
    ("bool", "boolean"): Fit("bool"),
    ("timestamptz", "timestamp with time zone"): Fit("int8"),
    ("uuid", "uuid"): Fit("bytea"),
    ("jsonb", "jsonb"): Fit("bytea"),
    ("int4[]", "integer[]"): Fit("bytea"),
    ("text[]", "text[]"): Fit("bytea"),
    ("bytea", "bytea"): Fit("bytea"),
    # The same bytes under another name.
    ("text", "character varying"): Fit("text"),
    ("text", "character"): Fit("text"),
    ("text", "citext"): Fit("text"),
    ("timestamptz", "timestamp without time zone"): Fit("int8"),
    # Wider and narrower numbers.
    ("int4", "bigint"): Fit("int8"),
    ("int4", "smallint"): Fit("int2", clamp("smallint")),
    ("int8", "integer"): Fit("int4", clamp("integer")),
    ("int8", "smallint"): Fit("int2", clamp("smallint")),
    ("int4", "numeric"): Fit("numeric"),
    ("int8", "numeric"): Fit("numeric"),
    ("float8", "real"): Fit("bytea", float4),
    ("float8", "numeric"): Fit("numeric", always(lambda value: Decimal(float_text(value)))),
    ("text", "inet"): Fit("bytea", address("inet")),
    ("text", "cidr"): Fit("bytea", address("cidr")),
    ("text", "enum"): Fit("text"),
    # What only kinds that fill any table write.
    ("int2", "smallint"): Fit("int2"),
    ("numeric", "numeric"): Fit("numeric"),
    ("date", "date"): Fit("int4"),
    ("time", "time without time zone"): Fit("int8"),
    ("interval", "interval"): Fit("bytea"),
    **{(f"{real}[]", f"{real}[]"): Fit("bytea") for real in ELEMENT_OIDS if f"{real}[]" not in ("integer[]", "text[]")},
    # JSON with and without jsonb's version byte.
    **{("json", real): Fit("bytea") for real in ("json", *TEXT_TYPES)},
    ("json", "jsonb"): Fit("bytea", always(lambda value: JSONB_VERSION + value)),
    **{("jsonb", real): Fit("bytea", always(lambda value: value[1:])) for real in ("json", *TEXT_TYPES)},
    **{(ours, real): Fit("text", always(form)) for ours, form in _TEXT_FORMS.items() for real in TEXT_TYPES},
    **{(ours, "json"): Fit("bytea", always(form)) for ours, form in _JSON_FORMS.items()},
    **{(ours, "jsonb"): Fit("bytea", always(_versioned(form))) for ours, form in _JSON_FORMS.items()},
}
"""(our type, the real column's type by its `format_type` name without modifiers) -> how."""

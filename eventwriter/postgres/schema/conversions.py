"""
Conversions from our column types to the types of real columns.

A pair of types that is not in `CONVERSIONS` cannot be written, and `postgres.schema.catalog`
rejects the table. Converters are created when a worker binds, and only for columns whose type
differs: a table created by `eventwriter migrate` needs none. Pure.
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
"""Converts a row's value (never None) to a value for the dumper. Raises only `Poison` and `encode.ENCODE_ERRORS`."""

JSONB_VERSION = b"\x01"
"""First byte of binary `jsonb`; `json` and text have none."""

JSON_TYPES = ("jsonb", "json")
TEXT_TYPES = ("text", "character varying", "character", "citext")

_MANY_DECIMALS = re.compile(r"[eE]-0*[0-9]{5}|\.[0-9]{10000}").search
"""Finds numbers with many decimals; `jsonb` stores numbers as `numeric`, which has at most 16,383."""

_EPOCH = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_DAY_US = 86_400_000_000
_PACK_FLOAT4 = struct.Struct("!f").pack
_INT_LIMITS = {"smallint": 2**15, "integer": 2**31}


@dataclass(frozen=True, slots=True)
class TargetColumn:
    """
    Real column for which a converter is created.

    Attributes:
        adjustments: Counts changed values; written by the worker that bound the table.
    """

    name: str
    adjustments: Adjustments


@dataclass(frozen=True, slots=True)
class Conversion:
    """
    How a value is written into a column.

    Attributes:
        dumper: psycopg's name of the dumper.
        make: Creates the converter that is applied before the dumper; None if there is none.
    """

    dumper: str
    make: Callable[[TargetColumn], Converter] | None = None


def elements(array: bytes) -> list[Any]:
    """
    Decode PostgreSQL's binary array of one dimension, of `int4` or `text`.

    Returns:
        The elements; empty for an array without dimensions.

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
    """Return the canonical text of a UUID's 16 bytes."""
    digits = value.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def instant_text(value: int) -> str:
    """Return microseconds since 2000-01-01 UTC as ISO 8601 text in UTC."""
    return (_EPOCH + dt.timedelta(microseconds=value)).isoformat()


def float_text(value: float) -> str:
    """Return a float as PostgreSQL prints it: the shortest exact form, `NaN` or `Infinity`."""
    if math.isfinite(value):
        return repr(float(value))
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def json_of_text(value: str) -> bytes:
    """
    Return text as JSON: unchanged if it is a JSON object or array, otherwise as a JSON string.

    Text with an escaped U+0000, which `jsonb` cannot store, becomes a string and is stored completely.
    Numbers with more decimals than `jsonb` supports (1e-20000) are rounded.
    """
    if value.lstrip()[:1] in ("{", "[") and "\\u0000" not in value:
        try:
            parsed = orjson.loads(value)
        except orjson.JSONDecodeError:
            pass
        else:
            return orjson.dumps(parsed) if _MANY_DECIMALS(value) else value.encode()
    return orjson.dumps(value)


def _address(type_name: str) -> Callable[[TargetColumn], Converter]:
    """Return the factory of converters from an address as text to binary `inet` or `cidr`."""

    def make(column: TargetColumn) -> Converter:
        def convert(value: str) -> bytes:
            try:
                return binary.inet(value, type_name == "cidr")
            except ValueError as error:
                raise Poison(
                    "bad_value", f"column {column.name} is {type_name} and cannot store {value!r}: {error}"
                ) from None

        return convert

    return make


def _clamp(real: str) -> Callable[[TargetColumn], Converter]:
    """Return the factory of converters that cut integers to the range of `smallint` or `integer` and count them."""
    high = _INT_LIMITS[real] - 1

    def make(column: TargetColumn) -> Converter:
        def convert(value: int) -> int:
            if -high - 1 <= value <= high:
                return value
            column.adjustments.clamped_by_column.add(column.name)
            return high if value > 0 else -high - 1

        return convert

    return make


def _float4(column: TargetColumn) -> Converter:
    """Return the converter from a float to binary `real`, whose maximum is 3.4e38."""

    def convert(value: float) -> bytes:
        try:
            return _PACK_FLOAT4(value)
        except OverflowError as error:
            raise Poison("bad_value", f"column {column.name} is real and cannot store {value!r}") from error

    return convert


def _always(convert: Converter) -> Callable[[TargetColumn], Converter]:
    """Return a factory that returns `convert` for every column."""
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
"""For each of our types, the function from a value to text. `text`, `json` and `jsonb` need none."""

_JSON_FORMS: Mapping[str, Callable[[Any], bytes]] = {
    "text": json_of_text,
    # JSON has no NaN or infinity; orjson writes null.
    "float8": orjson.dumps,
    "int4": orjson.dumps,
    "int8": orjson.dumps,
    "bool": lambda value: b"true" if value else b"false",
    "timestamptz": lambda value: orjson.dumps(instant_text(value)),
    "uuid": lambda value: orjson.dumps(uuid_text(value)),
    "int4[]": lambda value: orjson.dumps(elements(value)),
    "text[]": lambda value: orjson.dumps(elements(value)),
}
"""For each of our types, the function from a value to JSON text. `json` and `jsonb` need none."""


def _versioned(form: Callable[[Any], bytes]) -> Converter:
    return lambda value: JSONB_VERSION + form(value)


CONVERSIONS: Mapping[tuple[str, str], Conversion] = {
    # Tables as eventwriter creates them need no conversion.
    ("text", "text"): Conversion("text"),
    ("float8", "double precision"): Conversion("float8"),
    ("int4", "integer"): Conversion("int4"),
    ("int8", "bigint"): Conversion("int8"),
    ("bool", "boolean"): Conversion("bool"),
    ("timestamptz", "timestamp with time zone"): Conversion("int8"),
    ("uuid", "uuid"): Conversion("bytea"),
    ("jsonb", "jsonb"): Conversion("bytea"),
    ("int4[]", "integer[]"): Conversion("bytea"),
    ("text[]", "text[]"): Conversion("bytea"),
    ("bytea", "bytea"): Conversion("bytea"),
    # The same bytes, another type name.
    ("text", "character varying"): Conversion("text"),
    ("text", "character"): Conversion("text"),
    ("text", "citext"): Conversion("text"),
    ("timestamptz", "timestamp without time zone"): Conversion("int8"),
    # Wider and narrower numbers.
    ("int4", "bigint"): Conversion("int8"),
    ("int4", "smallint"): Conversion("int2", _clamp("smallint")),
    ("int8", "integer"): Conversion("int4", _clamp("integer")),
    ("int8", "smallint"): Conversion("int2", _clamp("smallint")),
    ("int4", "numeric"): Conversion("numeric"),
    ("int8", "numeric"): Conversion("numeric"),
    ("float8", "real"): Conversion("bytea", _float4),
    ("float8", "numeric"): Conversion("numeric", _always(lambda value: Decimal(float_text(value)))),
    ("text", "inet"): Conversion("bytea", _address("inet")),
    ("text", "cidr"): Conversion("bytea", _address("cidr")),
    ("text", "enum"): Conversion("text"),
    # Types that only kinds for arbitrary tables write.
    ("int2", "smallint"): Conversion("int2"),
    ("numeric", "numeric"): Conversion("numeric"),
    ("date", "date"): Conversion("int4"),
    ("time", "time without time zone"): Conversion("int8"),
    ("interval", "interval"): Conversion("bytea"),
    **{
        (f"{real}[]", f"{real}[]"): Conversion("bytea")
        for real in ELEMENT_OIDS
        if f"{real}[]" not in ("integer[]", "text[]")
    },
    # JSON with or without the version byte of jsonb.
    **{("json", real): Conversion("bytea") for real in ("json", *TEXT_TYPES)},
    ("json", "jsonb"): Conversion("bytea", _always(lambda value: JSONB_VERSION + value)),
    **{("jsonb", real): Conversion("bytea", _always(lambda value: value[1:])) for real in ("json", *TEXT_TYPES)},
    **{(ours, real): Conversion("text", _always(form)) for ours, form in _TEXT_FORMS.items() for real in TEXT_TYPES},
    **{(ours, "json"): Conversion("bytea", _always(form)) for ours, form in _JSON_FORMS.items()},
    **{(ours, "jsonb"): Conversion("bytea", _always(_versioned(form))) for ours, form in _JSON_FORMS.items()},
}
"""Conversion by our type and the real column's type, as `format_type` prints it without modifiers."""


def _plain_json(encoded: bytes) -> Any:
    """Return a JSON value, or its text if it has a number that only PostgreSQL can hold."""
    try:
        return orjson.loads(encoded)
    except orjson.JSONDecodeError:
        return encoded.decode()


def json_value(value: Any, sql_type: str) -> Any:
    """Return a value of a row as plain JSON shows it."""
    if value is None:
        return None
    match sql_type:
        case "timestamptz":
            return instant_text(value)
        case "uuid":
            return uuid_text(value)
        case "json" | "jsonb":
            return _plain_json(value.removeprefix(JSONB_VERSION))
        case "int4[]" | "text[]":
            return elements(value)
        case "numeric":
            return f"{value:f}" if isinstance(value, Decimal) and value.is_finite() else str(value)
        case "date":
            return (_EPOCH + dt.timedelta(days=value)).date().isoformat()
        case "time":
            end_of_day = value == _DAY_US
            return "24:00:00" if end_of_day else (_EPOCH + dt.timedelta(microseconds=value)).time().isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return float_text(value)
    return f"\\x{value.hex()}" if isinstance(value, bytes) else value

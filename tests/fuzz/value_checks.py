"""Checks that the values of a row have the types documented in `eventwriter.tables.table`."""

import re
import struct
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import orjson

from eventwriter.tables.table import Column, Table

CLASSES: dict[str, tuple[type, ...]] = {
    "text": (str,), "float8": (float,), "int4": (int,), "int8": (int,), "bool": (bool,), "timestamptz": (int,),
    "uuid": (bytes,), "jsonb": (bytes,), "json": (bytes,), "int2": (int,), "numeric": (int, Decimal), "date": (int,),
    "time": (int,), "interval": (bytes,), "bytea": (bytes,),
}  # fmt: skip
_DAY_US = 86_400_000_000
_LIMITS = {
    "int2": (-(2**15), 2**15 - 1), "int4": (-(2**31), 2**31 - 1), "int8": (-(2**63), 2**63 - 1),
    # 1970-01-01 to 2262-01-01; dates from the year 1 on.
    "timestamptz": (-946_684_800_000_000, 8_267_961_600_000_000), "date": (-730_119, 2_921_939), "time": (0, _DAY_US),
}  # fmt: skip
_ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_ARRAY = struct.Struct("!iiI").unpack_from


def row_errors(table: Table, row: Sequence[Any]) -> list[str]:
    """Return the errors of a row, one message each."""
    if row.__class__ is not tuple or len(row) != len(table.columns):
        return [f"a {type(row).__name__} of {len(row)} values for {len(table.columns)} columns"]
    return [
        f"{column.name} ({column.type}): {error}, value {str(value)[:100]!r}"
        for column, value in zip(table.columns, row, strict=True)
        if (error := value_error(column, value))
    ]


def value_error(column: Column, value: Any) -> str | None:
    """Return the error of a column's value; None if it is valid."""
    if value is None:
        return "NULL" if column.not_null else None
    if column.type.endswith("[]"):
        return _array(value) if type(value) is bytes else f"class {type(value).__name__}"
    if type(value) not in CLASSES[column.type]:
        return f"class {type(value).__name__}"
    if column.type in _LIMITS:
        low, high = _LIMITS[column.type]
        return None if low <= value <= high else "out of range"
    if type(value) is str:
        return _text(value)
    if column.type in ("json", "jsonb"):
        return _json(value, column.type == "jsonb")
    sizes = {"uuid": 16, "interval": 16}
    return f"{len(value)} bytes" if column.type in sizes and len(value) != sizes[column.type] else None


def _text(value: str) -> str | None:
    if "\0" in value:
        return "contains U+0000"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "contains a lone surrogate"
    return None


def _json(value: bytes, is_jsonb: bool) -> str | None:
    if is_jsonb and value[:1] != b"\x01":
        return "lacks the version byte of jsonb"
    body = value[1:] if is_jsonb else value
    if b"\\u0000" in body and _ESCAPED_NUL.search(body):
        return "contains U+0000"
    return "is not JSON" if _loaded(body) is ... else None


def _loaded(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # Valid JSON that orjson does not read: integers of any length, which numeric accepts, and deep nesting.
        return None if "number" in str(error) or "recursion" in str(error) else ...


def _array(value: bytes) -> str | None:
    dimensions, _, _ = _ARRAY(value)
    return None if dimensions in (0, 1) else f"{dimensions} dimensions"

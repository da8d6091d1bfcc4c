"""
Conversion of JSON values to the type of a real column; pure.

`COLUMN_TYPES` has one entry for each of PostgreSQL's types that can be filled. Times, text and numbers are read
as in all kinds (`formats.fields`). A value that a number, boolean or timestamp column cannot hold becomes NULL
and is counted. For other types (UUID, address, date) it makes the message a dead letter.
"""

import base64
import binascii
import datetime as dt
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from eventwriter.errors import Poison
from eventwriter.formats.fields import INT4, INT8, boolean, decimal, json_value, number, text, whole
from eventwriter.formats.json import dumps, fits_numeric
from eventwriter.model import Adjustments
from eventwriter.tables import binary
from eventwriter.tables.ids import parse_uuid
from eventwriter.tables.table import RealColumn
from eventwriter.tables.values import optional_instant, parsed_jsonb

INT2 = (-(2**15), 2**15 - 1)
_DAY_US = 86_400_000_000
_EPOCH_DAY = dt.date(2000, 1, 1).toordinal()
_SHOWN_CHARS_MAX = 60

Read = Callable[[Any], Any]
"""JSON value (never None) → the form of the column, or None if the column cannot hold it. Raises only `Poison`."""


@dataclass(frozen=True, slots=True)
class ColumnContext:
    """
    The column for which values are converted.

    Attributes:
        incomplete: Called when a value is clamped or loses an element: the original belongs to the remaining fields.
        rounded: Called for a number that went through a float, but whose column stores any number of digits.
    """

    column: RealColumn
    adjustments: Adjustments
    incomplete: Callable[[], None] = lambda: None
    rounded: Callable[[], None] = lambda: None

    def refuse(self, value: Any) -> Poison:
        """Return the error for a value that the column cannot hold."""
        shown = dumps(value).decode()
        shown = shown if len(shown) <= _SHOWN_CHARS_MAX else shown[: _SHOWN_CHARS_MAX - 3] + "..."
        return Poison("bad_value", f"column {self.column.name} is {self.column.type} and cannot hold {shown}")


@dataclass(frozen=True, slots=True)
class ColumnType:
    """
    How columns of one of PostgreSQL's types are filled.

    Attributes:
        ours: Our column type (`tables.table`).
        make: Creates the reader of a column.
        usual: Class of the JSON values that are stored unchanged; None if there is none.
        limits: For integers: the smallest and the largest that are stored unchanged.
        pack: The form of the column → binary form of an array element; None if there are no such arrays.
        oid: The type's OID, for arrays.
    """

    ours: str
    make: Callable[[ColumnContext], Read]
    usual: type | None = None
    limits: tuple[int, int] | None = None
    pack: Callable[[Any], bytes] | None = None
    oid: int = 0


def _integer(limits: tuple[int, int]) -> Callable[[ColumnContext], Read]:
    low, high = limits

    def make(context: ColumnContext) -> Read:
        def read(value: Any) -> int | None:
            exact = whole(value)
            if exact is None or low <= exact <= high:
                return exact
            context.adjustments.clamped_by_column.add(context.column.name)
            context.incomplete()
            return low if exact < low else high

        return read

    return make


def _numeric(context: ColumnContext) -> Read:
    def read(value: Any) -> Decimal | int | None:
        if value.__class__ is int:
            return value
        if value.__class__ is float:
            # The shortest text of the float; `generic.exact` finds the digits of the payload.
            context.rounded()
            exact: Decimal | None = Decimal(repr(value))
        else:
            exact = decimal(value)
        if exact is not None and not fits_numeric(exact):
            raise context.refuse(value)
        return exact

    return read


def _text(_: ColumnContext) -> Read:
    return text


def _label(context: ColumnContext) -> Read:
    labels = frozenset(context.column.labels)

    def read(value: Any) -> str:
        if value.__class__ is str and value in labels:
            return value
        if (as_text := text(value)) in labels and as_text is not None:
            return as_text
        raise context.refuse(value)

    return read


def _uuid(context: ColumnContext) -> Read:
    def read(value: Any) -> bytes:
        parsed = parse_uuid(value) if value.__class__ is str else None
        if parsed is None:
            raise context.refuse(value)
        return parsed

    return read


def _date(context: ColumnContext) -> Read:
    def read(value: Any) -> int:
        try:
            if value.__class__ is str and value[4:5] == "-":
                return dt.date.fromisoformat(value.strip()[:10]).toordinal() - _EPOCH_DAY
        except ValueError:
            raise context.refuse(value) from None
        us = optional_instant(value)
        if us is None:
            raise context.refuse(value)
        return us // _DAY_US

    return read


_LENIENT_TIME = re.compile(r"\s*([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]+))?)?\s*")


def _time(context: ColumnContext) -> Read:
    def read(value: Any) -> int:
        us = _time_us(value) if value.__class__ is str else None
        if us is None:
            raise context.refuse(value)
        return us

    return read


def _time_us(value: str) -> int | None:
    """Return microseconds since midnight; also 24:00:00 and :60, as in PostgreSQL."""
    parts = _LENIENT_TIME.fullmatch(value)
    if parts is None:
        return None
    hour, minute, second = int(parts[1]), int(parts[2]), int(parts[3] or 0)
    us = ((hour * 60 + minute) * 60 + second) * 1_000_000 + int((parts[4] or "")[:6].ljust(6, "0"))
    return us if minute <= 59 and second <= 60 and us <= _DAY_US else None


def _interval(context: ColumnContext) -> Read:
    def read(value: Any) -> bytes:
        if value.__class__ not in (str, int, float):
            raise context.refuse(value)
        try:
            return binary.interval(value.strip() if value.__class__ is str else value)
        except ValueError:
            raise context.refuse(value) from None

    return read


def _bytea(context: ColumnContext) -> Read:
    def read(value: Any) -> bytes:
        if value.__class__ is bytes:
            return value
        if value.__class__ is not str:
            raise context.refuse(value)
        try:
            if value[:2] == "\\x":
                return bytes.fromhex(value[2:])
            plain = value.strip().rstrip("=").translate(_URL_SAFE)
            return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
        except (ValueError, binascii.Error):
            raise context.refuse(value) from None

    return read


_URL_SAFE = str.maketrans("-_", "+/")


def _address(context: ColumnContext) -> Read:
    cidr = context.column.plain.startswith("cidr")

    def read(value: Any) -> str:
        try:
            if value.__class__ is str:
                binary.inet(value, cidr)
                return value
        except ValueError:
            pass
        raise context.refuse(value)

    return read


def _jsonb(_: ColumnContext) -> Read:
    return parsed_jsonb


COLUMN_TYPES: Mapping[str, ColumnType] = {
    "smallint": ColumnType("int2", _integer(INT2), limits=INT2, pack=binary.INT2, oid=21),
    "integer": ColumnType("int4", _integer(INT4), limits=INT4, pack=binary.INT4, oid=23),
    "bigint": ColumnType("int8", _integer(INT8), limits=INT8, pack=binary.INT8, oid=20),
    "real": ColumnType("float8", lambda _: number, float, pack=binary.FLOAT4, oid=700),
    "double precision": ColumnType("float8", lambda _: number, float, pack=binary.FLOAT8, oid=701),
    "numeric": ColumnType("numeric", _numeric, int, pack=lambda v: binary.numeric(Decimal(v)), oid=1700),
    "boolean": ColumnType("bool", lambda _: boolean, bool, pack=lambda v: bytes((v,)), oid=16),
    "text": ColumnType("text", _text, str, pack=str.encode, oid=25),
    "character varying": ColumnType("text", _text, str, pack=str.encode, oid=1043),
    "character": ColumnType("text", _text, str, pack=str.encode, oid=1042),
    "citext": ColumnType("text", _text, str),
    "enum": ColumnType("text", _label),
    "uuid": ColumnType("uuid", _uuid, pack=bytes, oid=2950),
    "date": ColumnType("date", _date, pack=binary.INT4, oid=1082),
    "time without time zone": ColumnType("time", _time, pack=binary.INT8, oid=1083),
    "timestamp without time zone": ColumnType("timestamptz", lambda _: optional_instant, pack=binary.INT8, oid=1114),
    "timestamp with time zone": ColumnType("timestamptz", lambda _: optional_instant, pack=binary.INT8, oid=1184),
    "interval": ColumnType("interval", _interval, pack=bytes, oid=1186),
    "json": ColumnType("jsonb", _jsonb),
    "jsonb": ColumnType("jsonb", _jsonb, pack=bytes, oid=3802),
    "bytea": ColumnType("bytea", _bytea, pack=bytes, oid=17),
    "inet": ColumnType("text", _address, pack=binary.inet, oid=869),
    "cidr": ColumnType("text", _address, pack=lambda v: binary.inet(v, cidr=True), oid=650),
}
"""By the type of the real column, without modifiers. Source of the OIDs: PostgreSQL's pg_type.dat."""

ELEMENT_OIDS: Mapping[str, int] = {real: kind.oid for real, kind in COLUMN_TYPES.items() if kind.pack}
"""Types of which there are arrays."""
_NESTED_AS_TEXT = frozenset({"jsonb", "text"})
"""Our types whose elements may be arrays and objects; they are stored as JSON."""


def column_type_of(column: RealColumn) -> ColumnType | None:
    """Return how a real column is filled, or None if columns of its type cannot be filled."""
    real = column.plain
    if not real.endswith("[]"):
        return COLUMN_TYPES.get(real)
    element = COLUMN_TYPES.get(real[:-2])
    if element is None or element.pack is None:
        return None
    return ColumnType({"integer[]": "int4[]"}.get(real, real), _array_of(element))


def _array_of(element: ColumnType) -> Callable[[ColumnContext], Read]:
    pack, oid = element.pack, element.oid
    assert pack is not None

    def make(context: ColumnContext) -> Read:
        read = element.make(context)

        def read_array(value: Any) -> bytes:
            value = json_value(value)
            if value.__class__ is not list:
                raise context.refuse(value)
            if element.ours not in _NESTED_AS_TEXT and any(each.__class__ in (list, dict) for each in value):
                raise context.refuse(value)
            forms = [None if each is None else read(each) for each in value]
            if any(form is None and each is not None for form, each in zip(forms, value, strict=True)):
                context.adjustments.nulled_by_column.add(context.column.name)
                context.incomplete()
            try:
                return binary.array(oid, [None if form is None else pack(form) for form in forms])
            except OverflowError:
                raise context.refuse(value) from None

        return read_array

    return make

"""
JSON values in the form of whatever type a real column has; pure.

One entry in `COLUMN_TYPES` for each of PostgreSQL's types that can be filled. Times, text and
numbers are read as everywhere (`formats.fields`); what is text by nature (a UUID, an
address, a date) and cannot be read is poison, because there is nothing to put in its place.
"""

import base64
import binascii
import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from eventwriter.errors import Poison
from eventwriter.formats.fields import INT4, INT8, boolean, instant_us, integer, json_value, number, text
from eventwriter.formats.json import dumps
from eventwriter.model import Adjustments
from eventwriter.tables import binary
from eventwriter.tables.ids import parse_uuid
from eventwriter.tables.table import RealColumn
from eventwriter.tables.values import POSTGRES_EPOCH_US, redacted_jsonb, redacted_text, without

INT2 = (-(2**15), 2**15 - 1)
_DAY_US = 86_400_000_000
_EPOCH_DAY = dt.date(2000, 1, 1).toordinal()
_SHOWN_MAX = 60

Read = Callable[[Any], Any]
"""From a JSON value (never None) to its column's form; None for junk that becomes NULL. Raises only `Poison`."""


@dataclass(frozen=True, slots=True)
class ColumnContext:
    """The column that a reader works for."""

    column: RealColumn
    adjustments: Adjustments
    redact: frozenset[str] = frozenset()

    def refuse(self, value: Any) -> Poison:
        """Return what is said of a value that the column cannot take."""
        shown = dumps(without(value, self.redact)).decode()
        shown = shown if len(shown) <= _SHOWN_MAX else shown[: _SHOWN_MAX - 3] + "..."
        return Poison("bad_value", f"column {self.column.name} is {self.column.type} and cannot take {shown}")


@dataclass(frozen=True, slots=True)
class ColumnType:
    """
    How values get into columns of one of PostgreSQL's types.

    Attributes:
        ours: Our column type (`tables.table`).
        make: Makes the reader of one column.
        usual: JSON values of this class are in the column's form as they are; None context no class is.
        limits: For integers: the least and the greatest that are taken as they are.
        prose: Text is taken as it is, unless it may be JSON, in which there may be a secret.
        pack: From the column's form to the binary form of an array's element; None context there are no such arrays.
        oid: The type's number, for arrays.
    """

    ours: str
    make: Callable[[ColumnContext], Read]
    usual: type | None = None
    limits: tuple[int, int] | None = None
    prose: bool = False
    pack: Callable[[Any], bytes] | None = None
    oid: int = 0


def _whole(limits: tuple[int, int]) -> Callable[[ColumnContext], Read]:
    low, high = limits

    def make(context: ColumnContext) -> Read:
        adjustments = context.adjustments

        def read(value: Any) -> int | None:
            return value if value.__class__ is int and low <= value <= high else integer(value, limits, adjustments)

        return read

    return make


def _numeric(context: ColumnContext) -> Read:
    def read(value: Any) -> Decimal | int | None:
        if value.__class__ is int:
            return value
        if (near := number(value)) is None:
            return None
        # A float's shortest text, and all the digits that a text has.
        exact = Decimal(value.strip()) if value.__class__ is str else Decimal(repr(near))
        if not binary.storable(exact):
            raise context.refuse(value)
        return exact

    return read


def _boolean(value: Any) -> bool | None:
    return boolean(value, None)


def _text(context: ColumnContext) -> Read:
    return redacted_text(context.redact)


def _label(context: ColumnContext) -> Read:
    labels = frozenset(context.column.labels)

    def read(value: Any) -> str:
        if value.__class__ is str and value in labels:
            return value
        if (as_text := text(value)) in labels:
            return as_text
        raise context.refuse(value)

    return read


def _uuid(context: ColumnContext) -> Read:
    def read(value: Any) -> bytes:
        found = parse_uuid(value) if value.__class__ is str else None
        if found is None:
            raise context.refuse(value)
        return found

    return read


def instant(value: Any) -> int | None:
    """Return an instant as µs since 2000 UTC; None context it is none."""
    us = instant_us(value)
    return None if us is None else us - POSTGRES_EPOCH_US


def _date(context: ColumnContext) -> Read:
    def read(value: Any) -> int:
        try:
            if value.__class__ is str and value[4:5] == "-":
                return dt.date.fromisoformat(value.strip()[:10]).toordinal() - _EPOCH_DAY
        except ValueError:
            raise context.refuse(value) from None
        us = instant(value)
        if us is None:
            raise context.refuse(value)
        return us // _DAY_US

    return read


def _time(context: ColumnContext) -> Read:
    def read(value: Any) -> int:
        try:
            found = dt.time.fromisoformat(value.strip()) if value.__class__ is str else None
        except ValueError:
            found = None
        if found is None or found.tzinfo is not None:
            raise context.refuse(value)
        return ((found.hour * 60 + found.minute) * 60 + found.second) * 1_000_000 + found.microsecond

    return read


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


def _jsonb(context: ColumnContext) -> Read:
    return redacted_jsonb(context.redact)


COLUMN_TYPES: Mapping[str, ColumnType] = {
    "smallint": ColumnType("int2", _whole(INT2), limits=INT2, pack=binary.INT2, oid=21),
    "integer": ColumnType("int4", _whole(INT4), limits=INT4, pack=binary.INT4, oid=23),
    "bigint": ColumnType("int8", _whole(INT8), limits=INT8, pack=binary.INT8, oid=20),
    "real": ColumnType("float8", lambda _: number, float, pack=binary.FLOAT4, oid=700),
    "double precision": ColumnType("float8", lambda _: number, float, pack=binary.FLOAT8, oid=701),
    "numeric": ColumnType("numeric", _numeric, int, pack=lambda v: binary.numeric(Decimal(v)), oid=1700),
    "boolean": ColumnType("bool", lambda _: _boolean, bool, pack=lambda v: bytes((v,)), oid=16),
    "text": ColumnType("text", _text, prose=True, pack=str.encode, oid=25),
    "character varying": ColumnType("text", _text, prose=True, pack=str.encode, oid=1043),
    "character": ColumnType("text", _text, prose=True, pack=str.encode, oid=1042),
    "citext": ColumnType("text", _text, prose=True),
    "enum": ColumnType("text", _label),
    "uuid": ColumnType("uuid", _uuid, pack=bytes, oid=2950),
    "date": ColumnType("date", _date, pack=binary.INT4, oid=1082),
    "time without time zone": ColumnType("time", _time, pack=binary.INT8, oid=1083),
    "timestamp without time zone": ColumnType("timestamptz", lambda _: instant, pack=binary.INT8, oid=1114),
    "timestamp with time zone": ColumnType("timestamptz", lambda _: instant, pack=binary.INT8, oid=1184),
    "interval": ColumnType("interval", _interval, pack=bytes, oid=1186),
    "json": ColumnType("jsonb", _jsonb),
    "jsonb": ColumnType("jsonb", _jsonb, pack=bytes, oid=3802),
    "bytea": ColumnType("bytea", _bytea, pack=bytes, oid=17),
    "inet": ColumnType("text", _address, pack=binary.inet, oid=869),
    "cidr": ColumnType("text", _address, pack=lambda v: binary.inet(v, cidr=True), oid=650),
}
"""
By the real column's type, without modifiers. Numbers of types: PostgreSQL's pg_type.dat.
"""

ELEMENT_OIDS: Mapping[str, int] = {real: form.oid for real, form in COLUMN_TYPES.items() if form.pack}
"""The types that there are arrays of."""


def column_type_of(column: RealColumn) -> ColumnType | None:
    """Return how a real column is filled; None context its type cannot be."""
    real = column.plain
    if not real.endswith("[]"):
        return COLUMN_TYPES.get(real)
    element = COLUMN_TYPES.get(real[:-2])
    if element is None or element.pack is None:
        return None
    return ColumnType({"integer[]": "int4[]"}.get(real, real), _list_of(element))


def _list_of(element: ColumnType) -> Callable[[ColumnContext], Read]:
    pack, oid = element.pack, element.oid
    assert pack is not None

    def make(context: ColumnContext) -> Read:
        read = element.make(context)

        def read_list(value: Any) -> bytes:
            value = json_value(value)
            if value.__class__ is not list:
                raise context.refuse(value)
            forms = [None if each is None else read(each) for each in value]
            try:
                return binary.array(oid, [None if form is None else pack(form) for form in forms])
            except OverflowError:
                raise context.refuse(value) from None

        return read_list

    return make

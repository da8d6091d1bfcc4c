"""A row of an OCSF table as the OCSF object that it stands for."""

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from eventwriter.formats.plain_json import dumps
from eventwriter.tables.scalars import POSTGRES_EPOCH_US
from eventwriter.tables.table import Column, Row

_NO_COLUMNS_OF_OCSF = frozenset({"raw_data"})
"""Left out: a copy of the payload."""
_ARRAY_HEAD_BYTES = 20


def object_maker(columns: Sequence[Column]) -> Callable[[Row, Mapping[str, Any]], bytes]:
    """
    Return the function that makes jsonb of a row in these columns' forms (`tables.table`) and further attributes.

    NULLs and empty objects are left out. Instants are milliseconds since 1970, as OCSF has them.
    """
    parts = [
        (at, dumps(column.name) + b":", _FORMS[column.type])
        for at, column in enumerate(columns)
        if column.name not in _NO_COLUMNS_OF_OCSF
    ]

    def make(row: Row, further: Mapping[str, Any]) -> bytes:
        # Hot: once per row of the flat table; the columns' JSON is taken as it is, not parsed and written again.
        pieces = []
        for at, name, form in parts:
            value = row[at]
            if value is not None and value != b"\x01{}":
                pieces.append(name + form(value))
        pieces += [dumps(name) + b":" + dumps(value) for name, value in further.items() if value is not None]
        return b"\x01{" + b",".join(pieces) + b"}"

    return make


def _integer(value: int) -> bytes:
    return b"%d" % value


def _boolean(value: bool) -> bytes:
    return b"true" if value else b"false"


def milliseconds(value: int | None) -> int | None:
    """Return an instant, µs since 2000 UTC, as OCSF has it: milliseconds since 1970."""
    return None if value is None else (value + POSTGRES_EPOCH_US) // 1000


def _milliseconds(value: int) -> bytes:
    return b"%d" % ((value + POSTGRES_EPOCH_US) // 1000)


def _json(value: bytes) -> bytes:
    return value[1:]


def _uuid(value: bytes) -> bytes:
    return b'"%b"' % str(UUID(bytes=value)).encode()


def _integers(value: bytes) -> bytes:
    return dumps([number for _, number in struct.iter_unpack("!ii", value[_ARRAY_HEAD_BYTES:])])


_FORMS: dict[str, Callable[[Any], bytes]] = {
    "text": dumps,
    "int4": _integer,
    "int8": _integer,
    "bool": _boolean,
    "timestamptz": _milliseconds,
    "jsonb": _json,
    "uuid": _uuid,
    "int4[]": _integers,
}

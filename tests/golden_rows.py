"""Builds readable rows from the payloads of tests/data: ISO 8601 times, UUIDs as text, JSON parsed."""

import datetime as dt
import json
import math
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from eventwriter.kinds.registry import KINDS
from eventwriter.model import Adjustments, Message, Origin
from eventwriter.tables.table import Build, Row, Table

DATA = Path(__file__).parent / "data"
ORIGIN = Origin("events", 1_700_000_000_000_000_000, 0)
STORED_NS = 1_735_700_000_123_456_789
"""JetStream timestamp of every message: 2025-01-01 02:53:20.123456789 UTC."""


def parsed(text: bytes | str) -> Any:
    """Parse JSON as PostgreSQL prints it; a number beyond the range of a float becomes an integer."""
    return json.loads(
        text, parse_float=lambda digits: float(digits) if abs(float(digits)) != math.inf else int(Decimal(digits))
    )


_READABLE = {
    "timestamptz": lambda value: (dt.datetime(2000, 1, 1) + dt.timedelta(microseconds=value)).isoformat() + "Z",
    "uuid": lambda value: str(UUID(bytes=value)),
    "jsonb": lambda value: parsed(value[1:]),
    "json": lambda value: parsed(value),
}


def delivery(payload: bytes, subject: str) -> Message:
    return Message("", subject, payload, None, 7, 7, 1, STORED_NS)


def rows_of(
    kind: str, message: Message, adjustments: Adjustments | None = None, options: Mapping[str, Any] | None = None
) -> list[tuple[Table, Row]]:
    """Return the rows of a message and their tables, for the default tables of the kind."""
    rows = []
    build = Build(
        ORIGIN, adjustments or Adjustments(), frozenset(), redact=frozenset({"community"}), options=options or {}
    )  # no derived columns
    builders = [(table, table.builder(build)) for table in KINDS[kind].tables]
    for index, record in enumerate(KINDS[kind].decode(message)):
        for table, make in builders:
            if row := make(record, message, index):
                rows.append((table, row))
    return rows


def readable(table: Table, row: Row) -> dict[str, Any]:
    pairs = zip(table.columns, row, strict=True)
    return {
        column.name: value if value is None else _READABLE.get(column.type, lambda v: v)(value)
        for column, value in pairs
    }

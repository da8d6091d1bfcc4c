"""Builds readable rows of any table, including its variants, from the payloads of tests/data."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from golden_rows import ORIGIN, delivery, readable

from eventwriter.kinds.registry import KINDS
from eventwriter.model import Adjustments
from eventwriter.postgres.schema.conversions import elements
from eventwriter.tables.table import Build, Row, Table

REDACT = frozenset({"community"})


def shapes(kind: str) -> Iterator[tuple[str, Table]]:
    """Yield every definition that a kind can fill: `table`, and `table with column` for each variant."""
    for table in (*KINDS[kind].tables, *KINDS[kind].also):
        yield table.name, table
        for mark, other in table.variants.items():
            yield f"{other.name} with {mark}", other


def rows_in(table: Table, kind: str, payload: bytes, subject: str, adjustments: Adjustments | None = None) -> list[Row]:
    """Return the rows of a message in one table."""
    message = delivery(payload, subject)
    make = table.builder(
        Build(ORIGIN, adjustments or Adjustments(), frozenset(c.name for c in table.columns), redact=REDACT)
    )
    rows = (make(record, message, index) for index, record in enumerate(KINDS[kind].decode(message)))
    return [row for row in rows if row is not None]


def filled(table: Table, row: Row) -> dict[str, Any]:
    """Return the columns that are not NULL; arrays become lists."""
    arrays = {c.name for c in table.columns if c.type.endswith("[]")}
    return {
        name: elements(value) if name in arrays else value
        for name, value in readable(table, row).items()
        if value is not None
    }


def all_rows(kind: str, payload: bytes, subject: str) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of a message by table and variant."""
    return {
        name: [filled(table, row) for row in rows_in(table, kind, payload, subject)] for name, table in shapes(kind)
    }


def expected(payload: Path) -> Any:
    """Return the expected rows of a payload file: `NAME.rows.json` beside `NAME.json` or `NAME.bin`."""
    return json.loads(payload.with_name(payload.stem + ".rows.json").read_text())

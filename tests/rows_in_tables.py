"""Payloads of tests/data to rows of any one table, its other shapes included, as people can read them."""

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
    """Yield every definition that a kind can fill: `table`, and `table with mark` for those chosen by a column."""
    for table in (*KINDS[kind].tables, *KINDS[kind].also):
        yield table.name, table
        for mark, other in table.variants.items():
            yield f"{other.name} with {mark}", other


def rows_in(table: Table, kind: str, payload: bytes, subject: str, adjustments: Adjustments | None = None) -> list[Row]:
    """Return a message's rows in one table."""
    message = delivery(payload, subject)
    make = table.builder(
        Build(ORIGIN, adjustments or Adjustments(), frozenset(c.name for c in table.columns), redact=REDACT)
    )
    made = (make(record, message, index) for index, record in enumerate(KINDS[kind].decode(message)))
    return [row for row in made if row is not None]


def filled(table: Table, row: Row) -> dict[str, Any]:
    """Return the columns that are not NULL, arrays as lists."""
    arrays = {c.name for c in table.columns if c.type.endswith("[]")}
    return {
        name: elements(value) if name in arrays else value
        for name, value in readable(table, row).items()
        if value is not None
    }


def all_rows(kind: str, payload: bytes, subject: str) -> dict[str, list[dict[str, Any]]]:
    """Return a message's rows by the shape of table."""
    return {
        name: [filled(table, row) for row in rows_in(table, kind, payload, subject)] for name, table in shapes(kind)
    }


def expected(payload: Path) -> Any:
    """Return the rows that belong to a payload file: `NAME.rows.json` beside `NAME.json` or `NAME.bin`."""
    return json.loads(payload.with_name(payload.stem + ".rows.json").read_text())

"""Payloads of programs without a kind of their own: they become rows or dead letters, and raise nothing else."""

from pathlib import Path

import pytest
from golden_rows import DATA, ORIGIN, delivery

from eventwriter.errors import Poison
from eventwriter.kinds.registry import KINDS, Kind
from eventwriter.model import Adjustments, Message
from eventwriter.tables.table import Build, Row, Table

PAYLOADS = sorted(p for folder in ("falco", "trivy", "causal_bmp_arancini_siem") for p in (DATA / folder).iterdir())
TABLES = [(kind, table) for kind in KINDS.values() for table in (*kind.tables, *kind.also)]
REASONS = {"malformed", "missing_field", "bad_value", "unknown_shape"}


def outcome(kind: Kind, table: Table, message: Message) -> list[Row | None] | str:
    """Return the rows of a message in one table, or the reason of its poison."""
    columns = frozenset(column.name for column in table.columns)
    row = table.builder(Build(ORIGIN, Adjustments(), columns, redact=frozenset({"community"})))
    try:
        return [row(record, message, index) for index, record in enumerate(kind.decode(message))]
    except Poison as poison:
        return poison.reason


@pytest.mark.parametrize("path", PAYLOADS, ids=lambda path: f"{path.parent.name}-{path.stem}")
@pytest.mark.parametrize(("kind", "table"), TABLES, ids=[f"{kind.name}-{table.name}" for kind, table in TABLES])
def test_foreign_payload_is_a_row_or_poison(kind: Kind, table: Table, path: Path) -> None:
    """A foreign payload on the subject of a kind becomes rows with all columns, or poison with a known reason."""
    found = outcome(kind, table, delivery(path.read_bytes(), "falco.warning.x"))

    if isinstance(found, str):
        assert found in REASONS
    else:
        assert all(row is None or len(row) == len(table.columns) for row in found)


@pytest.mark.parametrize("table", KINDS["events"].tables, ids=lambda table: table.name)
@pytest.mark.parametrize("path", PAYLOADS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_foreign_payload_is_no_event(path: Path, table: Table) -> None:
    """As events, foreign payloads become dead letters with reason `unknown_shape` or `malformed`."""
    expected = "malformed" if path.suffix == ".bin" else "unknown_shape"

    assert expected == outcome(KINDS["events"], table, delivery(path.read_bytes(), "events.x"))

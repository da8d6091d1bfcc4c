"""Kind json: whatever a record holds, a row or poison comes of it, the same each time."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from eventwriter.errors import Poison
from eventwriter.formats import json
from eventwriter.formats.json import dumps
from eventwriter.model import Adjustments, Message, Origin
from eventwriter.postgres.encode import ENCODE_ERRORS, encoder
from eventwriter.postgres.schema.catalog import bind
from eventwriter.tables.generic.table import generate_tables
from eventwriter.tables.generic.values import COLUMN_TYPES, ELEMENT_OIDS
from eventwriter.tables.table import Build, RealColumn

TYPES = [*COLUMN_TYPES, *(f"{element}[]" for element in ELEMENT_OIDS)]
COLUMNS = [
    RealColumn(f"c{n}", name, n % 3 == 0, n % 5 == 0, False, ("sad", "ok") if name == "enum" else ())
    for n, name in enumerate(TYPES)
]
PATHS = {"c1": "a.0.b", "c2": "$payload", "c4": "$header.x", "c7": "$timestamp"}

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from(["1e99999999", "P1D", "10.0.0.0/8", "2026-01-01", "\\x00", "{", "NaN", "-0", "9" * 30, "12:00"])
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
RECORDS = st.dictionaries(st.sampled_from([column.name for column in COLUMNS] + ["a", "b"]), VALUES, max_size=8)


def outcome(record: dict[str, Any]) -> list[Any]:
    """What a record becomes: encoded rows, or the poison's words."""
    made = generate_tables("things", COLUMNS, {}, {"map": PATHS})
    message = Message("", "s", dumps(record), {"X": "h\0"}, 7, 7, 1, 1_767_225_600_000_000_000)
    build = Build(Origin("s", 1, 0), Adjustments(), frozenset(), redact=frozenset({"b"}))
    try:
        (clean,) = json.decode(message.payload)
        outs = []
        for table in made.tables:
            row = table.builder(build)(clean, message, 0)
            out = bytearray()
            if row is not None:
                encoder(bind(table, COLUMNS, "things"))(row, out)
            outs.append(bytes(out))
    except Poison as poison:
        return [poison.reason, poison.detail]
    except ENCODE_ERRORS as error:
        return [type(error)]
    return outs


@settings(deadline=None, max_examples=150)
@given(RECORDS)
def test_any_record_is_a_row_or_poison(record: dict[str, Any]) -> None:
    """Any JSON in columns of any type makes a row or a dead letter with a bounded word, and the same ones again."""
    first = outcome(record)

    assert first == outcome(record)
    assert not isinstance(first[0], str) or first[0] in ("malformed", "missing_field", "bad_value")


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(COLUMNS), VALUES)
def test_any_value_in_a_column(column: RealColumn, value: Any) -> None:
    """Any JSON value in a column of one type makes a row or a dead letter."""
    made = generate_tables("things", [RealColumn("c", column.type, False, False, False, column.labels)], {}, {})
    build = Build(Origin("s", 1, 0), Adjustments(), frozenset(), redact=frozenset({"community"}))
    message = Message("", "s", b"", None, 7, 7, 1, 0)
    try:
        (record,) = json.decode(dumps({"c": value}))
        row = made.tables[0].builder(build)(record, message, 0)
    except Poison as poison:
        row, reason = None, poison.reason
    else:
        reason = ""

    assert (row is None and reason in ("malformed", "bad_value")) or (row is not None and 1 == len(row))

"""
Any JSON object into any table: the definition is made from the real table.

A column takes what `map` says, else the key of its name, else the key that is its name
apart from case and underscores. Which key goes where is worked out once for each set of
keys that records come with, and remembered.

Columns whose default is computed for each row (`now()`, a sequence) are the one difficulty:
COPY writes every column that it names, so they are named only for records that bring a
value for one of them. That makes two definitions of one table, told apart by the record.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from eventwriter.errors import Fatal, Poison
from eventwriter.formats.bounded_cache import BoundedCache
from eventwriter.model import Adjustments, Message, Record
from eventwriter.tables.generic.plan import JSON, RowPlan, RowPlanner, TableLayout
from eventwriter.tables.generic.sources import check_map
from eventwriter.tables.generic.values import ColumnContext, column_type_of
from eventwriter.tables.table import Build, Column, GeneratedTables, RealColumn, Row, RowBuilder, Table


def generate_tables(
    name: str, real: Sequence[RealColumn], defaults: Mapping[str, Any], options: Mapping[str, Any]
) -> GeneratedTables:
    """
    Make the definitions by which records go into a real table.

    Args:
        name: The table's.
        defaults: The values of constant defaults by column, as JSON.
        options: The stream's entry: `map` and `rest`.

    Raises:
        Fatal: `map` or `rest` do not fit the table, or nothing of it can be filled.
    """
    layout = layout_of(name, real, defaults, options)
    columns = tuple(_column(column, column.name in layout.defaults) for column in layout.columns)
    waiting: list[tuple[int, int, Row]] = []
    first = Table(name, columns[: layout.always], functools.partial(_builder, layout, waiting), "", conflict="nothing")
    second = Table(name, columns, functools.partial(_second_builder, waiting), "", conflict="nothing")
    tables = (first, second) if layout.always < len(columns) else (first,)
    unknown = [f"{c.name} ({c.type})" for c in real if column_type_of(c) is None and not c.generated]
    said = f"table {name}: {', '.join(unknown)} cannot be filled by eventwriter; what they default to is kept"
    return GeneratedTables(tables, (said,) if unknown else ())


def layout_of(
    name: str, real: Sequence[RealColumn], defaults: Mapping[str, Any], options: Mapping[str, Any]
) -> TableLayout:
    """
    Decide what of a real table is written.

    Args and raises: as `generate_tables`.
    """
    possible = {column.name: column for column in real if not column.generated and column_type_of(column)}
    mapped = check_map(name, options.get("map"), possible)
    rest = options.get("rest")
    if rest is not None and (rest not in possible or possible[rest].plain not in JSON):
        there = f"is {possible[rest].type}" if rest in possible else "is not there or cannot be filled"
        raise Fatal(f"table {name}: rest names column {rest}, which {there}; it must be a jsonb or json column")
    constant = {key: value for key, value in defaults.items() if key in possible and _readable(possible[key], value)}
    written = [column for column in possible.values() if mapped.get(column.name, "") is not None]
    computed = [c for c in written if c.has_default and c.name not in constant and c.name != rest]
    always = [column for column in written if column not in computed]
    if not always:
        raise Fatal(f"table {name}: eventwriter can fill no column of it; the types are {_types(real)}")
    return TableLayout((*always, *computed), len(always), mapped, rest, constant)


def _readable(column: RealColumn, default: Any) -> bool:
    """Say whether a constant default is one that we can write ourselves: `infinity` is a date only to PostgreSQL."""
    form = column_type_of(column)
    try:
        return form is not None and form.make(ColumnContext(column, Adjustments()))(default) is not None
    except Poison:
        return False


def _types(real: Sequence[RealColumn]) -> str:
    return ", ".join(f"{column.name} {column.type}" for column in real)


def _column(column: RealColumn, has_constant: bool) -> Column:
    form = column_type_of(column)
    assert form is not None
    # JSON that may not be NULL is {} or [] where it is absent; that is done where rows are encoded.
    not_null = column.not_null and not (column.plain in JSON and not has_constant)
    return Column(column.name, form.ours, not_null=not_null)


def _builder(layout: TableLayout, waiting: list[tuple[int, int, Row]], build: Build) -> RowBuilder:
    """Return the function that makes rows; those with values for computed defaults are left in `waiting`."""
    adjustments, always = build.adjustments, layout.always
    planner = RowPlanner(layout, build)
    plans: BoundedCache[tuple[str, ...], RowPlan] = BoundedCache(planner.plan)
    sources, rest = planner.sources, planner.rest
    fill = planner.fill if always < len(layout.columns) else None
    tail = [None] * (len(layout.columns) - always)

    def row(record: Record, message: Message, index: int) -> Row | None:
        # Hot: once per record. A column costs a look-up, and a call where its value is not of the usual class.
        plan = plans[tuple(record)]
        get = record.get
        values = [
            value if (value := get(key)).__class__ is usual else convert(value, message)  # type: ignore[arg-type]
            for key, usual, convert in plan.columns
        ]
        for at, read, convert in sources:
            values[at] = convert(read(record, message), message)
        if plan.left:
            adjustments.fields_ignored += plan.ignored
            if rest is not None:
                values[rest[0]] = rest[1]({key: record[key] for key in plan.left})
        if fill is None:
            return tuple(values)
        if values[always:] == tail:
            return tuple(values[:always])
        waiting.append((message.stream_seq, index, fill(values, message, index)))
        return None

    return row


def _second_builder(waiting: list[tuple[int, int, Row]], _: Build) -> RowBuilder:
    """Return the function that hands over the row that the first definition has just left."""

    def row(_record: Record, message: Message, index: int) -> Row | None:
        if not waiting:
            return None
        seq, at, values = waiting.pop()
        waiting.clear()
        return values if (seq, at) == (message.stream_seq, index) else None

    return row

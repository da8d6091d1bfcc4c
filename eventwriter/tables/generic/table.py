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
from eventwriter.tables.generic.plan import JSON, Plan, Planner, Shape
from eventwriter.tables.generic.sources import check_map
from eventwriter.tables.generic.values import Where, form_of
from eventwriter.tables.table import Build, Column, MadeTable, RealColumn, Row, RowBuilder, Table


def make(name: str, real: Sequence[RealColumn], defaults: Mapping[str, Any], options: Mapping[str, Any]) -> MadeTable:
    """
    Make the definitions by which records go into a real table.

    Args:
        name: The table's.
        defaults: The values of constant defaults by column, as JSON.
        options: The stream's entry: `map` and `rest`.

    Raises:
        Fatal: `map` or `rest` do not fit the table, or nothing of it can be filled.
    """
    shape = shape_of(name, real, defaults, options)
    columns = tuple(_column(column, column.name in shape.defaults) for column in shape.columns)
    waiting: list[tuple[int, int, Row]] = []
    first = Table(name, columns[: shape.always], functools.partial(_builder, shape, waiting), "", conflict="nothing")
    second = Table(name, columns, functools.partial(_rest_builder, waiting), "", conflict="nothing")
    tables = (first, second) if shape.always < len(columns) else (first,)
    unknown = [f"{c.name} ({c.type})" for c in real if form_of(c) is None and not c.generated]
    said = f"table {name}: {', '.join(unknown)} cannot be filled by eventwriter; what they default to is kept"
    return MadeTable(tables, (said,) if unknown else ())


def shape_of(name: str, real: Sequence[RealColumn], defaults: Mapping[str, Any], options: Mapping[str, Any]) -> Shape:
    """
    Decide what of a real table is written.

    Args and raises: as `make`.
    """
    possible = {column.name: column for column in real if not column.generated and form_of(column)}
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
    return Shape((*always, *computed), len(always), mapped, rest, constant)


def _readable(column: RealColumn, default: Any) -> bool:
    """Say whether a constant default is one that we can write ourselves: `infinity` is a date only to PostgreSQL."""
    form = form_of(column)
    try:
        return form is not None and form.make(Where(column, Adjustments()))(default) is not None
    except Poison:
        return False


def _types(real: Sequence[RealColumn]) -> str:
    return ", ".join(f"{column.name} {column.type}" for column in real)


def _column(column: RealColumn, has_constant: bool) -> Column:
    form = form_of(column)
    assert form is not None
    # JSON that may not be NULL is {} or [] where it is absent; that is done where rows are encoded.
    not_null = column.not_null and not (column.plain in JSON and not has_constant)
    return Column(column.name, form.ours, not_null=not_null)


def _builder(shape: Shape, waiting: list[tuple[int, int, Row]], build: Build) -> RowBuilder:
    """Return the function that makes rows; those with values for computed defaults are left in `waiting`."""
    tally, always = build.tally, shape.always
    planner = Planner(shape, build)
    plans: BoundedCache[tuple[str, ...], Plan] = BoundedCache(planner.plan)
    sources, rest = planner.sources, planner.rest
    fill = planner.fill if always < len(shape.columns) else None
    tail = [None] * (len(shape.columns) - always)

    def row(record: Record, message: Message, index: int) -> Row | None:
        # Hot: once per record. A column costs a look-up, and a call where its value is not of the usual class.
        plan = plans[tuple(record)]
        get = record.get
        values = [
            value if (value := get(key)).__class__ is usual else take(value, message)  # type: ignore[arg-type]
            for key, usual, take in plan.columns
        ]
        for at, read, take in sources:
            values[at] = take(read(record, message), message)
        if plan.left:
            tally.fields_ignored += plan.ignored
            if rest is not None:
                values[rest[0]] = rest[1]({key: record[key] for key in plan.left})
        if fill is None:
            return tuple(values)
        if values[always:] == tail:
            return tuple(values[:always])
        waiting.append((message.stream_seq, index, fill(values, message, index)))
        return None

    return row


def _rest_builder(waiting: list[tuple[int, int, Row]], _: Build) -> RowBuilder:
    """Return the function that hands over the row that the first definition has just left."""

    def row(_record: Record, message: Message, index: int) -> Row | None:
        if not waiting:
            return None
        seq, at, values = waiting.pop()
        waiting.clear()
        return values if (seq, at) == (message.stream_seq, index) else None

    return row

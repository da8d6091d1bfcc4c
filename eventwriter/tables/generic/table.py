"""
Table definitions for any JSON object and any table, generated from the real table.

A column takes the value that `map` names, else that of the key with its name, else that of the key that
has its name without regard to case, `_` and `-`. The assignment is computed once for each set of keys.

Columns whose default is computed for each row (`now()`, a sequence) need special care: COPY writes every
column that it names, so they are named only for records that have a value for one of them. A table with
such columns therefore has two definitions, and each record goes into one of them.
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
from eventwriter.tables.redaction import Redactor
from eventwriter.tables.table import Build, Column, GeneratedTables, RealColumn, Row, RowBuilder, Table


def generate_tables(
    name: str, real: Sequence[RealColumn], defaults: Mapping[str, Any], options: Mapping[str, Any]
) -> GeneratedTables:
    """
    Generate the definitions of a real table.

    Args:
        name: Name of the table.
        real: Its columns.
        defaults: The values of constant defaults by column, as JSON.
        options: Options of the stream entry: `map` and `rest`.

    Raises:
        Fatal: `map` or `rest` do not fit the table, or no column can be filled.
    """
    layout = layout_of(name, real, defaults, options)
    columns = tuple(_column(column, column.name in layout.defaults) for column in layout.columns)
    waiting: list[tuple[int, int, Row]] = []
    first = Table(name, columns[: layout.always], functools.partial(_builder, layout, waiting), "", conflict="nothing")
    second = Table(name, columns, functools.partial(_second_builder, waiting), "", conflict="nothing")
    tables = (first, second) if layout.always < len(columns) else (first,)
    unknown = [f"{c.name} ({c.type})" for c in real if column_type_of(c) is None and not c.generated]
    warning = f"table {name}: eventwriter cannot fill {', '.join(unknown)}; these columns get their defaults"
    return GeneratedTables(tables, (warning,) if unknown else ())


def layout_of(
    name: str, real: Sequence[RealColumn], defaults: Mapping[str, Any], options: Mapping[str, Any]
) -> TableLayout:
    """Decide which columns of a real table are written; arguments and errors are those of `generate_tables`."""
    possible = {column.name: column for column in real if not column.generated and column_type_of(column)}
    mapped = check_map(name, options.get("map"), possible)
    rest = options.get("rest")
    if rest is not None and (rest not in possible or possible[rest].plain not in JSON):
        problem = f"is {possible[rest].type}" if rest in possible else "does not exist or cannot be filled"
        raise Fatal(f"table {name}: rest names column {rest}, which {problem}; it must be a jsonb or json column")
    constant = {key: value for key, value in defaults.items() if key in possible and _is_readable(possible[key], value)}
    written = [column for column in possible.values() if mapped.get(column.name, "") is not None]
    computed = [c for c in written if c.has_default and c.name not in constant and c.name != rest]
    always = [column for column in written if column not in computed]
    if not always:
        raise Fatal(f"table {name}: eventwriter cannot fill any of its columns, which are {_types(real)}")
    return TableLayout((*always, *computed), len(always), mapped, rest, constant)


def _is_readable(column: RealColumn, default: Any) -> bool:
    """Return whether we can write a constant default; `infinity`, for example, is a date only for PostgreSQL."""
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
    # An absent value of a NOT NULL JSON column is {} or []; the encoder of rows writes it.
    not_null = column.not_null and not (column.plain in JSON and not has_constant)
    return Column(column.name, form.ours, not_null=not_null)


def _builder(layout: TableLayout, waiting: list[tuple[int, int, Row]], build: Build) -> RowBuilder:
    """Return the function that builds rows; it leaves those with values for computed defaults in `waiting`."""
    adjustments, always = build.adjustments, layout.always
    planner = RowPlanner(layout, build)
    plans: BoundedCache[tuple[str, ...], RowPlan] = BoundedCache(planner.plan)
    redactor = Redactor(build.redact, adjustments)
    clean = redactor.clean if redactor.active else None
    sources, keeps_rest = planner.sources, planner.rest is not None
    unstored, rounded = planner.unstored, planner.rounded
    fill = planner.fill if always < len(layout.columns) else None
    tail = [None] * (len(layout.columns) - always)

    def row(record: Record, message: Message, index: int) -> Row | None:
        # Hot: once per record. A column costs a lookup, and a call if its value does not have the usual class.
        if clean is not None:
            record = clean(record, message)
        plan = plans[tuple(record)]
        get = record.get
        values = [
            value if (value := get(key)).__class__ is usual else convert(value, message)  # type: ignore[arg-type]
            for key, usual, convert in plan.columns
        ]
        for position, read, convert in sources:
            values[position] = convert(read(record, message), message)
        if rounded:
            planner.restore_exact(plan, values, message, index)
        if plan.poison is not None:
            raise plan.poison
        if plan.left or unstored:
            adjustments.fields_ignored += plan.ignored
            if keeps_rest or unstored:
                planner.encode_rest(values, planner.remaining(plan, record, values, message))
        if fill is None:
            return tuple(values)
        if values[always:] == tail:
            return tuple(values[:always])
        waiting.append((message.stream_seq, index, fill(values, message, index)))
        return None

    return row


def _second_builder(waiting: list[tuple[int, int, Row]], _: Build) -> RowBuilder:
    """Return the function that returns the row that the first definition has just left in `waiting`."""

    def row(_record: Record, message: Message, index: int) -> Row | None:
        if not waiting:
            return None
        seq, row_index, values = waiting.pop()
        waiting.clear()
        return values if (seq, row_index) == (message.stream_seq, index) else None

    return row

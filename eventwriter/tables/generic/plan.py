"""
Assignment of a record's keys to the columns of a real table; pure.

The assignment is computed once for each set of keys that records have.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eventwriter.errors import Poison
from eventwriter.formats.fields import is_blank, json_value
from eventwriter.model import Adjustments, Message, Record
from eventwriter.tables.generic.exact import ExactRecords
from eventwriter.tables.generic.sources import Source, first_key, is_redacted, source
from eventwriter.tables.generic.values import ColumnContext, ColumnType, Read, column_type_of
from eventwriter.tables.ids import id_generator
from eventwriter.tables.table import Build, RealColumn, Row
from eventwriter.tables.values import POSTGRES_EPOCH_US, jsonb

Convert = Callable[[Any, Message], Any]
"""(JSON value or None, its message) → the form of the column."""

Step = tuple[str | None, type | None, Convert]

_NONE: type = type(None)
JSON = ("json", "jsonb")
_INSTANTS = ("timestamp with time zone", "timestamp without time zone")
_KEYS_SHOWN_MAX = 20


@dataclass(frozen=True, slots=True)
class TableLayout:
    """
    The columns of a real table that are written, and the origin of their values.

    Attributes:
        columns: The columns written for every record, then those with computed defaults.
        always: Number of columns written for every record.
        mapped: Column → path, or None for a column that is not written.
        rest: The column that stores the keys without a column.
        defaults: The values of constant defaults, as JSON.
    """

    columns: tuple[RealColumn, ...]
    always: int
    mapped: Mapping[str, str | None]
    rest: str | None
    defaults: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RowPlan:
    """
    How records with one set of keys become rows.

    Attributes:
        columns: For each column the key of its value (None: there is none), the class of values that are stored
            unchanged, and the conversion of others.
        left: Keys that no column takes.
        ignored: How many of these are not stored.
        others: Further keys that match a column, used if the value of the first one cannot be stored.
        poison: Why records with these keys cannot be stored.
    """

    columns: Sequence[Step]
    left: tuple[str, ...]
    ignored: int
    others: Mapping[int, Sequence[str]] = field(default_factory=dict)
    poison: Poison | None = None


class RowPlanner:
    """
    Everything in the row builder of one worker that does not change per message.

    Attributes:
        unstored: Positions of columns that could not hold the value of the current record exactly.
        rounded: Positions of columns whose value went through a float.
    """

    def __init__(self, layout: TableLayout, build: Build) -> None:
        self._layout = layout
        self._redact = build.redact
        self._make_id = id_generator(build.origin)
        self._exact = ExactRecords()
        self._steps: list[tuple[type | None, Convert]] = []
        self._reads: list[Read] = []
        self.sources: list[tuple[int, Source, Convert]] = []
        self.rest: int | None = None
        self.unstored: list[int] = []
        self.rounded: list[int] = []
        for position, column in enumerate(layout.columns):
            self._add_column(position, column, build)

    def _add_column(self, position: int, column: RealColumn, build: Build) -> None:
        layout, kind = self._layout, column_type_of(column)
        assert kind is not None
        context = ColumnContext(
            column,
            build.adjustments,
            lambda: self.unstored.append(position),
            lambda: self.rounded.append(position),
        )
        read = kind.make(context)
        is_computed = position >= layout.always
        convert = _with_fast_path(kind, _converter(context, read, layout.defaults.get(column.name), is_computed))
        self._reads.append(read)
        self._steps.append((kind.usual, convert))
        path = layout.mapped.get(column.name)
        if path and not is_redacted(path, build.redact):
            self.sources.append((position, source(path, column, build), convert))
        if column.name == layout.rest:
            self.rest = position

    def plan(self, keys: tuple[str, ...]) -> RowPlan:
        """Assign keys to columns."""
        layout = self._layout
        free = [c.name for c in layout.columns if c.name not in layout.mapped and c.name != layout.rest]
        matches = match_columns(free, [key for key in keys if key.lower() not in self._redact])
        columns: list[Step] = []
        for column, (usual, convert) in zip(layout.columns, self._steps, strict=True):
            key = matches[column.name][0] if column.name in matches else None
            # An absent value needs a call only if there is a default to store, or an error to raise.
            is_quiet = column.name in layout.mapped or column.name == layout.rest or not _needs_call(layout, column)
            columns.append((key, usual if key is not None else _NONE if is_quiet else None, convert))
        paths = [path for path in layout.mapped.values() if path]
        taken, started = {*(names[0] for names in matches.values()), *paths}, {first_key(path) for path in paths}
        left = tuple(key for key in keys if key not in taken)
        ignored = 0 if layout.rest else sum(1 for key in left if key not in started)
        others = {
            position: matches[column.name][1:]
            for position, column in enumerate(layout.columns)
            if len(matches.get(column.name, ())) > 1
        }
        is_stored = matches or started.intersection(keys) or "$payload" in paths or (layout.rest and keys)
        return RowPlan(columns, left, ignored, others, None if is_stored else self._unknown_shape(keys, free))

    def _unknown_shape(self, keys: tuple[str, ...], columns: Sequence[str]) -> Poison:
        shown = ", ".join(keys[:_KEYS_SHOWN_MAX]) or "no key"
        paths = [path for path in self._layout.mapped.values() if path]
        expected = ", ".join([*columns, *(f"path {path}" for path in paths)][:_KEYS_SHOWN_MAX])
        return Poison("unknown_shape", f"no key of the object matches a column: it has {shown}; expected {expected}")

    def restore_exact(self, plan: RowPlan, values: list[Any], message: Message, index: int) -> None:
        """Replace values that went through a float by the digits of the payload."""
        exact = self._exact.record(message, index)
        if exact is not None:
            sources = {position: read for position, read, _ in self.sources}
            for position in set(self.rounded):
                read_source, key = sources.get(position), plan.columns[position][0]
                value = read_source(exact, message) if read_source is not None else exact.get(key or "")
                if value is not None:
                    values[position] = self._reads[position](value)
        self.rounded.clear()

    def remaining(self, plan: RowPlan, record: Record, values: list[Any], message: Message) -> Record:
        """Return the fields for the column `rest`, after another key was tried for each value that was not stored."""
        rest = {key: record[key] for key in plan.left}
        pending, self.unstored[:] = list(self.unstored), []
        for position in dict.fromkeys(pending):
            key = plan.columns[position][0] or self._layout.mapped.get(self._layout.columns[position].name)
            if key is not None and key in record:
                rest[key] = record[key]
            for other in plan.others.get(position, ()):
                if (value := record[other]) is not None and (form := self._reads[position](value)) is not None:
                    values[position] = form
                    del rest[other]
                    break
        self.unstored.clear()
        return {key: json_value(value) for key, value in rest.items()}

    def encode_rest(self, values: list[Any], rest: Record) -> None:
        """Store the remaining fields in the column `rest`."""
        if self.rest is not None and rest:
            values[self.rest] = jsonb(rest)

    def fill(self, values: list[Any], message: Message, index: int) -> Row:
        """
        Fill the computed defaults of a record that has a value for another one of them.

        Raises:
            Poison: `missing_field`: there is no value to fill in.
        """
        for position in range(self._layout.always, len(values)):
            column = self._layout.columns[position]
            if values[position] is not None:
                continue
            if column.plain in _INSTANTS:
                values[position] = message.timestamp_ns // 1000 - POSTGRES_EPOCH_US
            elif column.plain == "uuid":
                values[position] = self._make_id(message.stream_seq, index)
            elif column.not_null:
                raise _missing_value(column)
        return tuple(values)


def _with_fast_path(kind: ColumnType, convert: Convert) -> Convert:
    """Return `convert` preceded by a test for integers that are stored unchanged, if the column stores integers."""
    if kind.limits is None:
        return convert
    low, high = kind.limits

    def convert_integer(value: Any, message: Message) -> Any:
        # Hot: once per integer.
        return value if value.__class__ is int and low <= value <= high else convert(value, message)

    return convert_integer


def _needs_call(layout: TableLayout, column: RealColumn) -> bool:
    """Return whether the absence of a value needs a conversion: for a default, or an error."""
    return column.name in layout.defaults or (column.not_null and not column.has_default and column.plain not in JSON)


def _converter(context: ColumnContext, read: Read, default: Any, is_computed: bool) -> Convert:
    """
    Return the conversion of a JSON value, or of its absence, to the form of the column.

    Args:
        default: The constant default, as JSON; None if there is none.
        is_computed: Absence stays None: the server, or `RowPlanner.fill`, provides a value.
    """
    column, adjustments = context.column, context.adjustments
    fallback = None if default is None else read(default)
    is_required = column.not_null and not is_computed and fallback is None and column.plain not in JSON
    is_instant = column.plain in _INSTANTS

    def convert(value: Any, message: Message) -> Any:
        if value is not None:
            form = read(value)
            if form is not None:
                return form
            _count_nulled(value, column.name, adjustments, context.incomplete)
            if is_instant:
                adjustments.timestamp_defaulted += 1
        if not is_required:
            return fallback
        if not is_instant:
            raise _missing_value(column) if value is None else context.refuse(value)
        if value is None:
            adjustments.timestamp_defaulted += 1
        return message.timestamp_ns // 1000 - POSTGRES_EPOCH_US

    return convert


def _count_nulled(value: Any, column: str, adjustments: Adjustments, incomplete: Callable[[], None]) -> None:
    if not is_blank(value):
        adjustments.nulled_by_column.add(column)
    incomplete()


def _missing_value(column: RealColumn) -> Poison:
    """Return the error for a record without a value for a column that must have one."""
    return Poison("missing_field", f"column {column.name} is NOT NULL and the message has no value for it")


def match_columns(columns: Sequence[str], keys: Collection[str]) -> dict[str, Sequence[str]]:
    """
    Match keys to columns: by name, then by name without regard to case, underscores and hyphens.

    Returns:
        Column → its keys, the preferred one first.
    """
    exact = {column for column in columns if column in keys}
    loose: dict[str, list[str]] = {}
    for key in keys:
        if key not in exact:
            loose.setdefault(_normalized(key), []).append(key)
    matches: dict[str, Sequence[str]] = {column: [column] for column in columns if column in exact}
    for column in columns:
        if others := loose.pop(_normalized(column), None):
            matches[column] = [*matches.get(column, ()), *others]
    return matches


def _normalized(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()

"""
Which key of a record goes into which column of a table that was found; pure.

Worked out once for each set of keys that records come with.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eventwriter.errors import Poison
from eventwriter.model import Adjustments, Message
from eventwriter.tables.generic.sources import Source, first_key, is_redacted, source
from eventwriter.tables.generic.values import ColumnContext, ColumnType, Read, column_type_of
from eventwriter.tables.ids import id_generator
from eventwriter.tables.table import Build, RealColumn, Row
from eventwriter.tables.values import POSTGRES_EPOCH_US, redacted_jsonb

Convert = Callable[[Any, Message], Any]
"""(JSON value or None, its message) → the column's form."""

Step = tuple[str | None, type | None, Convert]

_NONE: type = type(None)
JSON = ("json", "jsonb")
_JSON_BEGINS = ("{", "[")
_INSTANTS = ("timestamp with time zone", "timestamp without time zone")


@dataclass(frozen=True, slots=True)
class TableLayout:
    """
    What of a real table is written, and from where.

    Attributes:
        columns: Those that are written for every record, then those with computed defaults.
        always: How many of them are written for every record.
        mapped: Column → path, or None for a column that is left alone.
        rest: The column that takes the keys without a column.
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
        columns: For each column the record's key (None: it has none), the class of values taken as they are, and
            what is done with others.
        left: Keys that no column takes.
        ignored: How many of them are lost.
    """

    columns: Sequence[Step]
    left: tuple[str, ...]
    ignored: int


class RowPlanner:
    """What a worker's builder is made of; everything that does not change per message."""

    def __init__(self, layout: TableLayout, build: Build) -> None:
        self._shape = layout
        self._redact = build.redact
        self._make_id = id_generator(build.origin)
        self._steps: list[tuple[type | None, Convert]] = []
        self.sources: list[tuple[int, Source, Convert]] = []
        self.rest: tuple[int, Callable[[Any], bytes | None]] | None = None
        for at, column in enumerate(layout.columns):
            form = column_type_of(column)
            assert form is not None
            read = form.make(ColumnContext(column, build.adjustments, build.redact))
            default, computed = layout.defaults.get(column.name), at >= layout.always
            convert = with_fast_path(form, converter(column, read, build.adjustments, default, computed))
            self._steps.append((form.usual, convert))
            path = layout.mapped.get(column.name)
            if path and not is_redacted(path, build.redact):
                self.sources.append((at, source(path, column, build.redact), convert))
            if column.name == layout.rest:
                self.rest = (at, redacted_jsonb(build.redact))

    def plan(self, keys: tuple[str, ...]) -> RowPlan:
        """Work out which key goes into which column."""
        layout = self._shape
        free = [c.name for c in layout.columns if c.name not in layout.mapped and c.name != layout.rest]
        found = match_columns(free, [key for key in keys if key.lower() not in self._redact])
        columns: list[Step] = []
        for column, (usual, convert) in zip(layout.columns, self._steps, strict=True):
            key = found.get(column.name)
            # What is absent costs a call only where something is to be put in its place, or said.
            quiet = column.name in layout.mapped or column.name == layout.rest or not _needs_call(layout, column)
            columns.append((key, usual if key is not None else _NONE if quiet else None, convert))
        paths = [path for path in layout.mapped.values() if path]
        taken, started = {*found.values(), *paths}, {first_key(path) for path in paths}
        left = tuple(key for key in keys if key not in taken)
        ignored = 0 if layout.rest else sum(1 for key in left if key not in started)
        return RowPlan(columns, left, ignored)

    def fill(self, values: list[Any], message: Message, index: int) -> Row:
        """
        Put something in the place of computed defaults that a record with another one of them lacks.

        Raises:
            Poison: `missing_field`, where there is nothing to put.
        """
        for at in range(self._shape.always, len(values)):
            column = self._shape.columns[at]
            if values[at] is not None:
                continue
            if column.plain in _INSTANTS:
                values[at] = message.timestamp_ns // 1000 - POSTGRES_EPOCH_US
            elif column.plain == "uuid":
                values[at] = self._make_id(message.stream_seq, index)
            elif column.not_null:
                raise missing_value(column)
        return tuple(values)


def with_fast_path(form: ColumnType, convert: Convert) -> Convert:
    """Return `convert` with the usual integer or text taken before it; `convert` itself where there is none such."""
    if form.limits is not None:
        low, high = form.limits

        def take_whole(value: Any, message: Message) -> Any:
            # Hot: once per integer.
            return value if value.__class__ is int and low <= value <= high else convert(value, message)

        return take_whole
    if form.prose:

        def take_prose(value: Any, message: Message) -> Any:
            # Hot: once per text.
            return value if value.__class__ is str and value[:1] not in _JSON_BEGINS else convert(value, message)

        return take_prose
    return convert


def _needs_call(layout: TableLayout, column: RealColumn) -> bool:
    """Say whether a column's absence needs a look: it has something to put in its place, or must not be absent."""
    return column.name in layout.defaults or (column.not_null and not column.has_default and column.plain not in JSON)


def converter(column: RealColumn, read: Read, adjustments: Adjustments, default: Any, computed: bool) -> Convert:
    """
    Return what makes the column's value of a JSON value or of its absence.

    Args:
        default: The constant default, as JSON; None where there is none.
        computed: Absence stays None: the server, or `RowPlanner.fill`, has something for it.
    """
    instead = None if default is None else read(default)
    required = column.not_null and not computed and instead is None and column.plain not in JSON
    instant = column.plain in _INSTANTS

    def convert(value: Any, message: Message) -> Any:
        if value is not None:
            form = read(value)
            if form is not None:
                return form
            if instant:
                adjustments.timestamp_defaulted += 1
        if not required:
            return instead
        if not instant:
            raise missing_value(column) if value is None else ColumnContext(column, adjustments).refuse(value)
        if value is None:
            adjustments.timestamp_defaulted += 1
        return message.timestamp_ns // 1000 - POSTGRES_EPOCH_US

    return convert


def missing_value(column: RealColumn) -> Poison:
    """Return what is said of a record without a value for a column that must have one."""
    return Poison("missing_field", f"column {column.name} is NOT NULL and the message has no value for it")


def match_columns(columns: Sequence[str], keys: Collection[str]) -> dict[str, str]:
    """
    Match keys to columns: of the same name; else the same apart from case, underscores and hyphens.

    Returns:
        Key by column.
    """
    found = {column: column for column in columns if column in keys}
    taken = set(found)
    loose: dict[str, str] = {}
    for key in keys:
        if key not in taken:
            loose.setdefault(_normalized(key), key)
    for column in columns:
        if column not in found and (near := loose.pop(_normalized(column), None)) is not None:
            found[column] = near
    return found


def _normalized(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()

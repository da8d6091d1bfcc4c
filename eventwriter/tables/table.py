"""
Table definitions: the columns of a table and the function that builds its rows.

A row is a tuple in the order of `Table.columns`. Its values already have the form that
the COPY encoder takes, so that nothing is converted twice:

=============  ==================================================================
column type    value in the row (`None` is NULL everywhere)
=============  ==================================================================
text           `str`, without U+0000 and without lone surrogates
float8         `float`
int4, int8     `int`, within the type's range
bool           `bool`
timestamptz    `int`: microseconds since 2000-01-01 UTC, PostgreSQL's own epoch
uuid           `bytes`: 16
jsonb          `bytes`: 0x01 (jsonb's version) followed by JSON text
json           `bytes`: JSON text; the column that `eventwriter migrate` makes is `text`
int4[], text[] `bytes`: PostgreSQL's binary array, and so for arrays of every other type
int2, numeric  `int`; for numeric also `Decimal`
date           `int`: days since 2000-01-01
time           `int`: microseconds since midnight
interval       `bytes`: 16
bytea          `bytes`
=============  ==================================================================

Where the real table differs (`text` for `jsonb`, `poller_id` for `gateway_id`, a missing
column), `postgres.schema.catalog` adapts the row. Row builders are unaffected.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eventwriter.model import Adjustments, Message, Origin, Record

Row = tuple[Any, ...]

IGNORED: Row = ()
"""Result of a row builder for a record that the table cannot hold by a documented rule, counted by the builder."""

RowBuilder = Callable[[Record, Message, int], Row | None]
"""(record, its message, index of the record in the message) → row, `IGNORED`, or None if a record of this
shape belongs in another table of the slot. Raises only `Poison`."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column, with the SQL type that `eventwriter migrate` creates and its names in older schemas."""

    name: str
    type: str
    not_null: bool = False
    former_names: tuple[str, ...] = ()
    """Older names of the column, tried in order if the real table lacks `name`."""
    derived: bool = False
    """Expensive: computed only if the real table has the column (`series_key`)."""


def plain_type(type_name: str) -> str:
    """Return a `format_type` name without modifiers and, for a type of an extension, without its schema."""
    bare = re.sub(r"\([^)]*\)", "", type_name)
    return "citext" if bare.rpartition(".")[2].strip('"') == "citext" else bare


@dataclass(frozen=True, slots=True)
class RealColumn:
    """A column of the real table."""

    name: str
    type: str
    """The result of `format_type`: "timestamp with time zone", "character varying(20)"."""
    not_null: bool
    has_default: bool
    """Has a default, an identity or a generated value, and may be omitted."""
    generated: bool
    """Computed by the server; must be omitted."""
    labels: tuple[str, ...] = ()
    """The labels of an enum; empty for other types."""

    @property
    def plain(self) -> str:
        """The type without modifiers; "enum" for every enum."""
        return "enum" if self.labels else plain_type(self.type)


@dataclass(frozen=True, slots=True)
class Build:
    """Parameters of a row builder, fixed when the worker binds to the stream and the table."""

    origin: Origin
    adjustments: Adjustments
    columns: frozenset[str]
    """Columns of the definition that the real table has."""
    ocsf_version: str = "1.3.0"
    redact: frozenset[str] = frozenset()
    """Lower-case keys whose values are never stored."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further keys of the stream entry that a kind uses (`keep_raw`, `map`, `rest`)."""


@dataclass(frozen=True, slots=True)
class Table:
    """
    A table that eventwriter can fill.

    `builder` is called once per worker with a `Build`. The function that it returns
    builds the rows; everything that does not change per message is computed before.
    """

    name: str
    columns: tuple[Column, ...]
    builder: Callable[[Build], RowBuilder]
    time_column: str
    key: tuple[str, ...] = ()
    conflict: str = "append"
    """Action on a duplicate key: `append` (the table has no key), `nothing` or `replace`."""
    variants: Mapping[str, "Table"] = field(default_factory=dict)
    """Other definitions of a table of this name, by the column that identifies the real table."""

    def for_columns(self, real: Iterable[str]) -> "Table":
        """Return the definition that fits a real table with these columns: a variant or this one."""
        names = set(real)
        return next((variant for mark, variant in self.variants.items() if mark in names), self)


@dataclass(frozen=True, slots=True)
class GeneratedTables:
    """
    Definitions generated from a real table.

    Attributes:
        tables: One definition per set of columns named in COPY. Each record goes into exactly one of them.
        warnings: One sentence each.
    """

    tables: tuple[Table, ...]
    warnings: tuple[str, ...] = ()


TableGenerator = Callable[[str, Sequence[RealColumn], Mapping[str, Any], Mapping[str, Any]], GeneratedTables]
"""(table name, its real columns, its constant defaults by column as JSON, options of the stream entry) → definitions.
Raises Fatal if the table cannot be filled."""

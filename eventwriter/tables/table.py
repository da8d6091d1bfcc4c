"""
What a table definition is: its columns, and the function that builds a row.

A row is a tuple in the order of `Table.columns`, its values already in the form
that COPY wants, so that nothing is converted twice:

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

Where the real table differs (`text` for `jsonb`, `poller_id` for `gateway_id`, a
column that is not there), `postgres.schema.catalog` adapts; row builders need not know.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eventwriter.model import Adjustments, Message, Origin, Record

Row = tuple[Any, ...]

RowBuilder = Callable[[Record, Message, int], Row | None]
"""(record, its message, index of the record in the message) -> row; None where a record of this
shape belongs into another table of the slot. Raises only `Poison`."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: the SQL type that `eventwriter migrate` gives it, and names it had elsewhere."""

    name: str
    type: str
    not_null: bool = False
    also: tuple[str, ...] = ()
    """Older names of the same column, tried in order where the real table lacks `name`."""
    derived: bool = False
    """Costly: computed only where the real table has the column (`series_key`)."""


def plain_type(type_name: str) -> str:
    """Return a `format_type` name without modifiers and, for an extension's type, without its schema."""
    bare = re.sub(r"\([^)]*\)", "", type_name)
    return "citext" if bare.rpartition(".")[2].strip('"') == "citext" else bare


@dataclass(frozen=True, slots=True)
class RealColumn:
    """One column as the server has it."""

    name: str
    type: str
    """As `format_type` says: "timestamp with time zone", "character varying(20)"."""
    not_null: bool
    has_default: bool
    """A default, an identity, or a generated value: it may be left out."""
    generated: bool
    """Computed by the server; it must be left out."""
    labels: tuple[str, ...] = ()
    """Of an enum."""

    @property
    def plain(self) -> str:
        """The type without modifiers; every enum is "enum"."""
        return "enum" if self.labels else plain_type(self.type)


@dataclass(frozen=True, slots=True)
class Build:
    """What a row builder is told once, when its worker binds to the stream and the table."""

    origin: Origin
    tally: Adjustments
    columns: frozenset[str]
    """The names (ours) of the columns that the real table has."""
    ocsf_version: str = "1.3.0"
    redact: frozenset[str] = frozenset()
    """Keys, lower case, that are never stored."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further keys of the stream's entry that a kind understands (`keep_raw`, `map`, `rest`)."""


@dataclass(frozen=True, slots=True)
class Table:
    """
    A table that eventwriter can fill.

    `builder` is called once per worker with a `Build` and returns the function
    that makes rows; it closes over all that does not change per message.
    """

    name: str
    columns: tuple[Column, ...]
    builder: Callable[[Build], RowBuilder]
    time_column: str
    key: tuple[str, ...] = ()
    conflict: str = "append"
    """What a duplicate key means: `append` (there is no key), `nothing`, `replace`."""
    instead: Mapping[str, "Table"] = field(default_factory=dict)
    """Another definition of a table of this name, by the column that tells the real table to be that one."""

    def for_columns(self, real: Iterable[str]) -> "Table":
        """Return the definition that fits a real table with these columns: one of `instead`, or this one."""
        names = set(real)
        return next((other for mark, other in self.instead.items() if mark in names), self)


@dataclass(frozen=True, slots=True)
class MadeTable:
    """
    Definitions made from a real table.

    Attributes:
        tables: One for each set of columns that COPY is to be given; a record goes into one of them.
        warnings: One sentence each.
    """

    tables: tuple[Table, ...]
    warnings: tuple[str, ...] = ()


MakeTable = Callable[[str, Sequence[RealColumn], Mapping[str, Any], Mapping[str, Any]], MadeTable]
"""(table, its real columns, its constant defaults by column as JSON, the stream's options) → definitions.
Raises Fatal where the table cannot be filled."""

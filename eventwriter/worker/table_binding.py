"""
The tables that a slot writes, with their real columns, keys and privileges.

A stream entry and its kind name the tables. Their columns are read from the server before a message is pulled, and
compared again on every new connection.
"""

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eventwriter.config.settings import StreamSettings
from eventwriter.errors import EventwriterError, Fatal
from eventwriter.kinds.registry import Kind
from eventwriter.model import Adjustments
from eventwriter.postgres.connect import Connection
from eventwriter.postgres.schema import unique_keys
from eventwriter.postgres.schema.catalog import Binding, bind, read_columns, read_defaults
from eventwriter.postgres.schema.unique_keys import Key, Rights, read_keys, read_rights
from eventwriter.tables.table import RealColumn, Table


class Rebind(EventwriterError):
    """Something that the session is bound to has changed: build a new session immediately."""

    default_code = "rebind"


@dataclass(frozen=True, slots=True)
class RealTable:
    """
    One of the slot's tables as it exists in the database.

    Attributes:
        table: Its definition; `table.conflict` is the conflict rule in force.
        schema: The configured schema; None for the search path.
        target: Qualified, quoted name.
        definition_warnings: Warnings from deriving the definition from the real table.
        defaults: Values of constant column defaults, if the definition was derived from the real table; else None.
        has_warnings: False if another definition of the same table writes more columns and has all the warnings.
    """

    table: Table
    schema: str | None
    target: str
    columns: tuple[RealColumn, ...]
    keys: tuple[Key, ...]
    rights: Rights
    definition_warnings: tuple[str, ...] = ()
    has_warnings: bool = True
    defaults: Mapping[str, Any] | None = None

    def bind(self, adjustments: Adjustments | None = None) -> Binding:
        """
        Return how rows of the definition are written to the real table.

        Raises:
            Fatal: The definition does not fit the table.
        """
        return bind(self.table, self.columns, self.target, adjustments)

    def warnings(self, binding: Binding) -> list[str]:
        """Return the warnings about the table that are not warnings of `binding`."""
        if not self.has_warnings:
            return []
        rule, columns = self.table.conflict, self.table.columns
        real_names = {columns[at].name: name for at, name in zip(binding.positions, binding.names, strict=True)}
        identity = [real_names.get(name, name) for name in self.table.key]
        return [
            *self.definition_warnings,
            *unique_keys.warnings(self.target, rule, self.keys, binding.names, self.rights),
            *unique_keys.coarser_keys(self.target, rule, self.keys, identity),
        ]


def tables_of(stream: StreamSettings, of_kind: Kind) -> list[Table]:
    """
    Return the definitions of the tables that a stream entry names, or the kind's default tables if it names none.

    The list is empty for a kind that derives its definitions from real tables.

    Raises:
        Fatal: The kind cannot write one of the tables, or needs a table in the entry.
    """
    if of_kind.any_table:
        if stream.tables:
            return []
        raise Fatal(
            f"stream {stream.name}: kind {of_kind.name} has no default table", code="table_missing",
            hint='set "table" or "tables"',
        )  # fmt: skip
    known = {table.name: table for table in (*of_kind.tables, *of_kind.also)}
    names = stream.tables or tuple(known)[: len(of_kind.tables)]
    unknown = [name for name in names if name.rpartition(".")[2] not in known]
    if unknown:
        raise Fatal(
            f"stream {stream.name}: kind {of_kind.name} cannot write table {', '.join(unknown)}",
            code="table_unsupported",
            hint=f'set "table" to one that it can write: {", ".join(known)}',
        )
    return [known[name.rpartition(".")[2]] for name in names]


async def find_tables(conn: Connection, stream: StreamSettings, of_kind: Kind) -> list[RealTable]:
    """
    Read the columns, keys and privileges of each table of a stream entry.

    Raises:
        Fatal: A table does not exist or is a view, or the kind cannot write it.
    """
    definitions = tables_of(stream, of_kind)
    if of_kind.any_table:
        tables = [table for name in stream.tables for table in await _derive(conn, stream, of_kind, name)]
    else:
        names = stream.tables or [definition.name for definition in definitions]
        tables = [
            await find_table(conn, name.rpartition(".")[0] or stream.schema_name, definition)
            for name, definition in zip(names, definitions, strict=True)
        ]
    rule = stream.on_conflict
    if rule is None:
        return tables
    return [dataclasses.replace(table, table=dataclasses.replace(table.table, conflict=rule)) for table in tables]


async def find_table(conn: Connection, schema: str | None, definition: Table) -> RealTable:
    """
    Read the columns, keys and privileges of one table.

    Raises:
        Fatal: The table does not exist or is a view.
    """
    target, columns = await read_columns(conn, schema, definition.name)
    fitting = definition.for_columns(column.name for column in columns)
    keys, rights = tuple(await read_keys(conn, target)), await read_rights(conn, target)
    return RealTable(fitting, schema, target, tuple(columns), keys, rights)


async def _derive(conn: Connection, stream: StreamSettings, of_kind: Kind, name: str) -> list[RealTable]:
    """Derive definitions from a real table: one for each set of columns that the kind copies."""
    assert of_kind.any_table is not None
    prefix, _, bare = name.rpartition(".")
    schema = prefix or stream.schema_name
    target, columns = await read_columns(conn, schema, bare)
    defaults = await read_defaults(conn, target)
    derived = of_kind.any_table(bare, columns, defaults, stream.options)
    keys, rights = tuple(await read_keys(conn, target)), await read_rights(conn, target)
    return [
        RealTable(
            table, schema, target, tuple(columns), keys, rights, derived.warnings, table is derived.tables[-1], defaults
        )
        for table in derived.tables
    ]


def recheck(tables: Sequence[RealTable]) -> Callable[[Connection], Awaitable[None]]:
    """Return a check for new connections: it raises `Rebind` if a table differs from what the encoders expect."""

    async def check(conn: Connection) -> None:
        for table in tables:
            target, columns = await read_columns(conn, table.schema, table.table.name)
            unchanged = (target, tuple(columns)) == (table.target, table.columns)
            if not unchanged or (table.defaults is not None and await read_defaults(conn, target) != table.defaults):
                raise Rebind(f"table {table.target} has changed", code="table_changed")

    return check

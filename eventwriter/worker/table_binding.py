"""
Which tables a slot fills, as they really are.

What a stream's entry and its kind say is one half; the other is asked of the server,
before a message is pulled and again of every new connection.
"""

import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

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
    """What the worker is bound to has changed: bind again, at once."""


@dataclass(frozen=True, slots=True)
class TableFound:
    """One of the slot's tables as it really is; `table.conflict` is the rule in force."""

    table: Table
    schema: str | None
    target: str
    real: tuple[RealColumn, ...]
    keys: tuple[Key, ...]
    rights: Rights
    said: tuple[str, ...] = ()
    """What was to be said when its definition was made from the real table."""
    whole: bool = True
    """False for a definition beside another one of the same table that writes more columns, and says all."""

    def bound(self, tally: Adjustments | None = None) -> Binding:
        """
        Return how its rows are written.

        Raises:
            Fatal: They cannot be; the sentence says how to mend that.
        """
        return bind(self.table, self.real, self.target, tally)

    def warnings(self, binding: Binding) -> list[str]:
        """Return what is worth a word beyond what `binding` says."""
        if not self.whole:
            return []
        rule, columns = self.table.conflict, self.table.columns
        real_names = {columns[at].name: name for at, name in zip(binding.positions, binding.names, strict=True)}
        told_apart = [real_names.get(name, name) for name in self.table.key]
        return [
            *self.said,
            *unique_keys.warnings(self.target, rule, self.keys, binding.names, self.rights),
            *unique_keys.coarser_keys(self.target, rule, self.keys, told_apart),
        ]


def tables_of(stream: StreamSettings, of_kind: Kind) -> list[Table]:
    """
    Return the definitions of the tables that a stream's entry names; the kind's default where it names none.

    For a kind that makes its definitions from real tables there are none yet.

    Raises:
        Fatal: The kind cannot fill one of them, or needs to be told which.
    """
    if of_kind.any_table:
        if stream.tables:
            return []
        raise Fatal(f'stream {stream.name}: kind {of_kind.name} needs to be told where to; set "table" or "tables"')
    known = {table.name: table for table in (*of_kind.tables, *of_kind.also)}
    names = stream.tables or tuple(known)[: len(of_kind.tables)]
    missing = [name for name in names if name.rpartition(".")[2] not in known]
    if missing:
        raise Fatal(
            f"stream {stream.name}: kind {of_kind.name} cannot fill table {', '.join(missing)};"
            f" it fills {', '.join(known)}"
        )
    return [known[name.rpartition(".")[2]] for name in names]


async def find_tables(conn: Connection, stream: StreamSettings, of_kind: Kind) -> list[TableFound]:
    """
    Read the real columns of each table of a stream's entry.

    Raises:
        Fatal: A table is missing, or is a view; the kind cannot fill it.
    """
    tables = tables_of(stream, of_kind)
    if of_kind.any_table:
        found = [each for name in stream.tables for each in await _made(conn, stream, of_kind, name)]
    else:
        names = stream.tables or [table.name for table in tables]
        found = [
            await find_table(conn, name.rpartition(".")[0] or stream.schema_name, table)
            for name, table in zip(names, tables, strict=True)
        ]
    rule = stream.on_conflict
    if rule is None:
        return found
    return [dataclasses.replace(each, table=dataclasses.replace(each.table, conflict=rule)) for each in found]


async def find_table(conn: Connection, schema: str | None, table: Table) -> TableFound:
    """
    Read the real columns of one table.

    Raises:
        Fatal: It is missing, or is a view.
    """
    target, real = await read_columns(conn, schema, table.name)
    fitting = table.for_columns(column.name for column in real)
    found_keys, rights = tuple(await read_keys(conn, target)), await read_rights(conn, target)
    return TableFound(fitting, schema, target, tuple(real), found_keys, rights)


async def _made(conn: Connection, stream: StreamSettings, of_kind: Kind, name: str) -> list[TableFound]:
    """Return the definitions that a kind makes from a real table: one for each set of columns that it copies."""
    assert of_kind.any_table is not None
    prefix, _, bare = name.rpartition(".")
    schema = prefix or stream.schema_name
    target, real = await read_columns(conn, schema, bare)
    made = of_kind.any_table(bare, real, await read_defaults(conn, target), stream.options)
    found_keys, rights = tuple(await read_keys(conn, target)), await read_rights(conn, target)
    return [
        TableFound(table, schema, target, tuple(real), found_keys, rights, made.warnings, table is made.tables[-1])
        for table in made.tables
    ]


def recheck(tables: Sequence[TableFound]) -> Callable[[Connection], Awaitable[None]]:
    """Return a look at a new connection: are the tables still what the encoders were made for?"""

    async def look(conn: Connection) -> None:
        for found in tables:
            target, real = await read_columns(conn, found.schema, found.table.name)
            if (target, tuple(real)) != (found.target, found.real):
                raise Rebind(f"table {found.target} has changed")

    return look

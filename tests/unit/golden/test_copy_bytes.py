"""
The binary COPY rows of every kind, for the payloads of tests/data, in every shape of table.

The rows that a payload must become are written beside it; here are the bytes that PostgreSQL receives for them.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest
from fix_golden import CheckGolden
from fuzz.seeds import OF_ANY_TYPE
from generations import FOLDERS, SUBJECTS
from golden_rows import DATA, ORIGIN, delivery
from orjson import dumps
from payload_strategies import COLUMN_TYPES
from table_rows import REDACT, shapes

from eventwriter.errors import Poison
from eventwriter.kinds.registry import KINDS
from eventwriter.model import Adjustments, Message
from eventwriter.postgres.dead_letters.record import DEAD_LETTERS
from eventwriter.postgres.encode import encoder
from eventwriter.postgres.schema.catalog import Binding, bind
from eventwriter.tables.table import Build, RealColumn, Table

REAL_TYPES = {
    "text": "text", "float8": "double precision", "int4": "integer", "int8": "bigint", "bool": "boolean",
    "timestamptz": "timestamp with time zone", "uuid": "uuid", "jsonb": "jsonb", "json": "text", "bytea": "bytea",
    "int4[]": "integer[]", "text[]": "text[]",
}  # fmt: skip
"""Our type → that of the column that `eventwriter migrate` makes."""

READABLE = ("text", "json", "jsonb", "bytea")
"""Types that are shown as a bytes literal; all others are shown in hexadecimal."""


def as_migrated(table: Table) -> Binding:
    """Return the binding to the table that `eventwriter migrate` makes."""
    real = [RealColumn(c.name, REAL_TYPES[c.type], c.not_null, False, False) for c in table.columns]
    return bind(table, real, f'"{table.name}"')


def fields(row: bytes) -> Iterator[bytes | None]:
    """Yield the fields of one binary COPY row, None for NULL."""
    [count], at = struct.unpack_from("!h", row), 2
    for _ in range(count):
        [length] = struct.unpack_from("!i", row, at)
        yield None if length < 0 else row[at + 4 : at + 4 + length]
        at += 4 + max(0, length)
    assert at == len(row)


def lines(binding: Binding, row: bytes) -> Iterator[str]:
    """Yield one line for each column of a row that is not NULL: name, type, bytes."""
    columns = [binding.table.columns[at] for at in binding.positions]
    for column, field in zip(columns, fields(row), strict=True):
        if field is not None:
            shown = repr(field) if column.type in READABLE else field.hex() or "empty"
            yield f"  {column.name} {column.type} {shown}"


def copied(kind: str, message: Message, bindings: Sequence[Binding]) -> Iterator[str]:
    """Yield the lines of a message's rows, or the reason why it has none."""
    options = {"consumer": "c", "kind": kind}
    build = [
        (b, b.table.builder(Build(ORIGIN, Adjustments(), b.present, redact=REDACT, options=options)), encoder(b))
        for b in bindings
    ]
    try:
        rows = [
            (binding, encode, row)
            for index, record in enumerate(KINDS[kind].decode(message))
            for binding, make, encode in build
            if (row := make(record, message, index)) is not None
        ]
    except Poison as poison:
        yield f"  dead letter: {poison.reason}"
        return
    for binding, encode, row in rows:
        out = bytearray()
        encode(row, out)
        yield f"  row of {len(binding.names)} fields"
        yield from lines(binding, bytes(out))


def text(blocks: Iterable[tuple[str, Iterable[str]]]) -> str:
    return "\n".join("\n".join([title, *block]) + "\n" for title, block in blocks)


def payloads(kind: str) -> Iterator[Path]:
    """Yield the payloads of a kind."""
    for folder in FOLDERS[kind]:
        yield from (p for p in sorted((DATA / folder).iterdir()) if not {".row", ".rows"} & set(p.suffixes))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not KINDS[kind].any_table])
def test_copy_bytes_are_unchanged(kind: str, check_golden: CheckGolden) -> None:
    """Each payload of a kind becomes the stored bytes in each table that the kind can fill."""
    blocks = [
        (
            f"{path.parent.name}/{path.name} → {name}",
            copied(kind, delivery(path.read_bytes(), SUBJECTS[path.parent.name]), [as_migrated(table)]),
        )
        for path in payloads(kind)
        for name, table in shapes(kind)
    ]

    check_golden(f"copy_{kind}.txt", text(blocks))


def test_copy_bytes_of_any_table_are_unchanged(check_golden: CheckGolden) -> None:
    """Kind `json` writes the stored bytes into a table with a column of every type."""
    real = [RealColumn(n, n, False, False, False, ("ok", "bad") if n == "enum" else ()) for n in COLUMN_TYPES]
    real.append(RealColumn("rest", "jsonb", False, False, False))
    make = KINDS["json"].any_table
    assert make is not None
    bindings = [bind(table, real, '"things"') for table in make("things", real, {}, {"rest": "rest"}).tables]

    blocks = [
        (f"record {at}", copied("json", delivery(dumps(record), "things.x"), bindings))
        for at, record in enumerate(OF_ANY_TYPE)
    ]

    check_golden("copy_json.txt", text(blocks))


def test_copy_bytes_of_dead_letter_are_unchanged(check_golden: CheckGolden) -> None:
    """A dead letter with headers, and one whose payload holds a redacted key, are written as the stored bytes."""
    binding = as_migrated(DEAD_LETTERS)
    make = DEAD_LETTERS.builder(
        Build(ORIGIN, Adjustments(), binding.present, redact=REDACT, options={"consumer": "c", "kind": "logs"})
    )
    plain = delivery(b"\x00\xff", "logs.x")._replace(headers={"Nats-Msg-Id": "7"})
    redacted = delivery(b'{"community":"s3cret","a":1}', "logs.y")
    encode, blocks = encoder(binding), []
    for message, poison in ((plain, Poison("malformed", "no JSON")), (redacted, Poison("rejected", "no", "23514"))):
        out = bytearray()
        encode(make({"poison": poison}, message, 0), out)  # type: ignore[arg-type]
        blocks.append((poison.reason, lines(binding, bytes(out))))

    check_golden("copy_dead_letters.txt", text(blocks))

"""
What decode, row building and encoding cost, without servers: CPU µs per message.

Run with ``python benchmarks/stage_rows.py [KIND ...]``. Each figure is the best of
several rounds, because noise only ever adds.
"""

import random
import sys
import time
from collections.abc import Callable, Sequence

from eventwriter.demo.traffic import TRAFFIC, well_formed
from eventwriter.kinds import KINDS, Kind
from eventwriter.model import Message, Origin, Tally
from eventwriter.postgres.catalog import RealColumn, bind
from eventwriter.postgres.encode import encoder
from eventwriter.tables.table import Build, Table

MESSAGES = 5000
ROUNDS = 9
NOW_NS = 1_704_067_200_000_000_000

_REAL_TYPES = {
    "float8": "double precision", "int4": "integer", "int8": "bigint", "bool": "boolean",
    "timestamptz": "timestamp with time zone", "int4[]": "integer[]",
    "json": "text",
}  # fmt: skip


def messages(kind: str) -> list[Message]:
    """Return made-up deliveries of a kind."""
    rng = random.Random(1)  # repeatable
    reply = "$JS.ACK.events.eventwriter-x.1.1.1.1704067200000000000.5"
    return [
        Message(reply, TRAFFIC[kind].subject, well_formed(kind, rng, n, records=1), None, n + 1, n + 1, 1, NOW_NS + n)
        for n in range(MESSAGES)
    ]


def real_columns(table: Table) -> list[RealColumn]:
    """Return the columns as `eventwriter migrate` makes them."""
    return [
        RealColumn(column.name, _REAL_TYPES.get(column.type, column.type), column.not_null, False, False)
        for column in table.columns
        if not column.derived
    ]


def best_us(act: Callable[[], object]) -> float:
    """Return the CPU µs per message of the best round."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.process_time_ns()
        act()
        rounds.append(time.process_time_ns() - began)
    return min(rounds) / MESSAGES / 1000


def measure(kind: Kind, table: Table) -> tuple[float, float, float]:
    """Return what decode, build and encode cost."""
    deliveries = messages(kind.name)
    binding = bind(table, real_columns(table), table.name)
    build = table.builder(Build(Origin("events", 1, 0), Tally(), binding.present, redact=frozenset({"community"})))
    encode, decode = encoder(binding), kind.decode
    decoded = [(message, decode(message)) for message in deliveries]
    rows = [row for message, records in decoded for n, r in enumerate(records) if (row := build(r, message, n))]

    def decode_all() -> None:
        for message in deliveries:
            decode(message)

    def build_all() -> None:
        for message, records in decoded:
            for n, record in enumerate(records):
                build(record, message, n)

    def encode_all() -> None:
        out = bytearray()
        for row in rows:
            encode(row, out)

    return best_us(decode_all), best_us(build_all), best_us(encode_all)


def main(wanted: Sequence[str]) -> None:
    """Measure and print."""
    print(f"{'kind':<14}{'table':<24}{'decode':>8}{'build':>8}{'encode':>8}   CPU µs per message")
    for kind in KINDS.values():
        if kind.name in TRAFFIC and (not wanted or kind.name in wanted):
            for table in (*kind.tables, *kind.also):
                print(f"{kind.name:<14}{table.name:<24}{'{:8.2f}{:8.2f}{:8.2f}'.format(*measure(kind, table))}")


if __name__ == "__main__":
    main(sys.argv[1:])

"""
Cost of kind `json` in the worker, without servers: CPU µs per message for a table with ten columns.

Run with ``python benchmarks/stage_any_table.py``. Each figure is the best of several rounds.
"""

import random
import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from eventwriter.kinds.registry import KINDS
from eventwriter.model import Adjustments, Message, Origin
from eventwriter.postgres.encode import encoder
from eventwriter.postgres.schema.catalog import bind
from eventwriter.tables.generic.table import generate_tables
from eventwriter.tables.table import Build, RealColumn

MESSAGES = 5000
ROUNDS = 9
STORED_NS = 1_767_225_600_000_000_000

COLUMNS = (
    RealColumn("time", "timestamp with time zone", True, False, False),
    RealColumn("device_id", "text", True, False, False),
    RealColumn("site", "text", False, False, False),
    RealColumn("sensor", "character varying(40)", False, False, False),
    RealColumn("temperature", "double precision", False, False, False),
    RealColumn("humidity", "double precision", False, False, False),
    RealColumn("battery", "integer", False, False, False),
    RealColumn("uptime_s", "bigint", False, False, False),
    RealColumn("charging", "boolean", False, False, False),
    RealColumn("tags", "jsonb", False, False, False),
)
"""Columns of a table of sensor readings."""
CREATED = RealColumn("created_at", "timestamp with time zone", True, True, False)


def reading(rng: random.Random, n: int) -> dict[str, Any]:
    """Return one reading in a publisher's spelling."""
    return {
        "time": f"2026-01-01T{n // 3600 % 24:02}:{n // 60 % 60:02}:{n % 60:02}.{n % 1000:03}Z",
        "deviceId": f"device-{rng.randrange(500)}",
        "site": f"site-{rng.randrange(8)}",
        "sensor": "th-22",
        "temperature": round(rng.random() * 40, 2),
        "humidity": round(rng.random() * 100, 1),
        "battery": rng.randrange(100),
        "uptimeS": rng.randrange(10**6),
        "charging": rng.random() < 0.5,
        "tags": {"floor": rng.randrange(5), "room": f"{rng.randrange(40)}"},
    }


def best_us(act: Callable[[], object]) -> float:
    """Return the CPU µs per message of the best round."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.process_time_ns()
        act()
        rounds.append(time.process_time_ns() - began)
    return min(rounds) / MESSAGES / 1000


def measure(columns: tuple[RealColumn, ...], options: Mapping[str, Any], extra: Mapping[str, Any]) -> list[float]:
    """Return the cost of decode, build and encode, and their sum."""
    rng = random.Random(1)  # repeatable
    decode = KINDS["json"].decode
    deliveries = [
        Message("", "sensors.demo", orjson.dumps({**reading(rng, n), **extra}), None, n + 1, n + 1, 1, STORED_NS + n)
        for n in range(MESSAGES)
    ]
    made = generate_tables("readings", columns, {}, options)
    bindings = [bind(table, columns, "readings") for table in made.tables]
    redact = frozenset({"community"})
    builders = [
        table.builder(Build(Origin("events", 1, 0), Adjustments(), binding.present, redact=redact))
        for table, binding in zip(made.tables, bindings, strict=True)
    ]
    encode = encoder(bindings[0])
    decoded = [(message, decode(message)[0]) for message in deliveries]
    rows = [builders[0](record, message, 0) for message, record in decoded]

    def build_all() -> None:
        for message, record in decoded:
            for build in builders:
                build(record, message, 0)

    def encode_all() -> None:
        out = bytearray()
        for row in rows:
            encode(row, out)  # type: ignore[arg-type]

    costs = [best_us(lambda: [decode(message) for message in deliveries]), best_us(build_all), best_us(encode_all)]
    return [*costs, sum(costs)]


def main() -> None:
    """Measure and print."""
    print(f"{'table':<44}{'decode':>8}{'build':>8}{'encode':>8}{'all':>8}   CPU µs per message")
    paths = {"site": "tags.room", "sensor": "$subject", "battery": "tags.floor"}
    rest = RealColumn("rest", "jsonb", False, False, False)
    cases: list[tuple[str, tuple[RealColumn, ...], Mapping[str, Any], Mapping[str, Any]]] = [
        ("ten columns", COLUMNS, {}, {}),
        ("and created_at by default", (*COLUMNS, CREATED), {}, {}),
        ("and two keys into rest", (*COLUMNS, rest), {"rest": "rest"}, {"a": 1, "b": "two"}),
        ("three columns by map", COLUMNS, {"map": paths}, {}),
    ]  # fmt: skip
    for name, columns, options, extra in cases:
        print(f"{name:<44}" + "".join(f"{cost:8.2f}" for cost in measure(columns, options, extra)))


if __name__ == "__main__":
    main()

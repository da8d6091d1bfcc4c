"""
Made-up but realistic messages, numbered, so that the books can be proven: one literal table.

Each well-formed message carries its number; one in `GARBAGE_EVERY` is garbage,
because real subjects carry some, and must become a dead letter.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from eventwriter import clock
from eventwriter.demo import sample_json, sample_otlp

GARBAGE_EVERY = 997

READINGS_DDL = """
CREATE TABLE IF NOT EXISTS demo_readings (
  taken_at timestamptz NOT NULL,
  sensor_id text NOT NULL,
  temperature double precision,
  humidity real,
  battery smallint,
  online boolean,
  site_name text,
  firmware text,
  number bigint,
  rest jsonb
)
"""
"""A table of somebody's own, for the kind that writes any JSON into any table."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """
    A kind's made-up messages.

    Attributes:
        make: (random numbers, number of the message, ns since 1970, records in it) → payload.
        books: SQL: how many rows there are, and how many different messages they come from.
        subject: Where they are published.
        records: Records in one message of the demo; each becomes one row.
        ddl: Makes the table, where `eventwriter migrate` does not.
        entry: Keys of the stream's entry beyond name, subject and kind.
    """

    make: Callable[[random.Random, int, int, int], bytes]
    books: str
    subject: str
    records: int = 1
    ddl: str | None = None
    entry: Mapping[str, Any] = field(default_factory=dict)


def _single(make: Callable[[random.Random, int, int], bytes]) -> Callable[[random.Random, int, int, int], bytes]:
    return lambda rng, n, now_ns, _records: make(rng, n, now_ns)


def _counted(number: str, table: str) -> str:
    return f"SELECT count(*), count(DISTINCT {number}) FROM {table}"  # noqa: S608  # both are literals, below


TRAFFIC: Mapping[str, Traffic] = {
    "telemetry": Traffic(
        _single(sample_json.telemetry), _counted("metadata->>'n'", "timeseries_metrics"), "telemetry.demo"
    ),
    "netflow": Traffic(
        _single(sample_json.netflow),
        _counted("unmapped->>'n'", "ocsf_network_activity WHERE activity_id = 6"),
        "netflow.demo",
    ),
    "events": Traffic(
        _single(sample_json.events),
        _counted("unmapped->>'n'", "ocsf_events WHERE log_name LIKE 'events.%'"),
        "events.demo",
    ),
    "sweep": Traffic(
        _single(sample_json.sweep),
        _counted("unmapped->'metadata'->>'n'", "ocsf_network_activity WHERE activity_id = 99"),
        "sweep.demo",
    ),
    "otel_traces": Traffic(
        sample_otlp.traces, _counted("attributes::jsonb->>'n'", "otel_traces"), "otel.traces.demo", 5
    ),
    "otel_metrics": Traffic(sample_otlp.metrics, _counted("attributes->>'n'", "otel_metrics"), "otel.metrics.demo", 5),
    "logs": Traffic(
        sample_otlp.logs,
        _counted("unmapped->'attributes'->>'n'", "ocsf_events WHERE log_name LIKE 'logs.%'"),
        "logs.demo",
        5,
    ),
    "json": Traffic(
        _single(sample_json.readings),
        _counted("number", "demo_readings"),
        "readings.demo",
        ddl=READINGS_DDL,
        entry={
            "name": "READINGS",
            "subject": "readings.>",
            "kind": "json",
            "table": "demo_readings",
            "map": {"site_name": "site.name"},
            "rest": "rest",
        },
    ),
}
"""For each kind: its messages, and the question that proves its books."""


def payload(kind: str, rng: random.Random, n: int, now_ns: int | None = None, records: int | None = None) -> bytes:
    """
    Return message number `n` of `kind`; garbage at times.

    Args:
        now_ns: The time in it, nanoseconds since 1970; the clock's where it is None.
        records: How many records, for kinds whose messages hold several; the demo's number where it is None.
    """
    if n % GARBAGE_EVERY == GARBAGE_EVERY - 1:
        return b"\x00 this is no JSON"
    return well_formed(kind, rng, n, now_ns, records)


def well_formed(kind: str, rng: random.Random, n: int, now_ns: int | None = None, records: int | None = None) -> bytes:
    """Return message number `n` of `kind`, never garbage; arguments as for `payload`."""
    traffic = TRAFFIC[kind]
    return traffic.make(rng, n, clock.now_ns() if now_ns is None else now_ns, records or traffic.records)

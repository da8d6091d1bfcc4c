"""
Table of realistic sample messages, numbered so that an audit can match them with rows.

Each well-formed message carries its number. One in `GARBAGE_EVERY` is not decodable, as
happens on real subjects, and must become a dead letter.
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
"""A user's own table, filled by the kind `json`."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """
    Sample messages of one kind.

    Attributes:
        make: (random generator, message number, nanoseconds since 1970, records per message) → payload.
        count_query: SQL that counts the rows and the distinct messages that they come from.
        subject: Subject that the messages are published on.
        records: Records in one message; each becomes one row.
        ddl: Creates the table, if `eventwriter migrate` does not.
        entry: Keys of the stream entry besides name, subject and kind.
    """

    make: Callable[[random.Random, int, int, int], bytes]
    count_query: str
    subject: str
    records: int = 1
    ddl: str | None = None
    entry: Mapping[str, Any] = field(default_factory=dict)


def _single(make: Callable[[random.Random, int, int], bytes]) -> Callable[[random.Random, int, int, int], bytes]:
    return lambda rng, n, now_ns, _records: make(rng, n, now_ns)


def _count_query(number: str, table: str) -> str:
    return f"SELECT count(*), count(DISTINCT {number}) FROM {table}"  # noqa: S608  # both are literals below


TRAFFIC: Mapping[str, Traffic] = {
    "telemetry": Traffic(
        _single(sample_json.telemetry), _count_query("metadata->>'n'", "timeseries_metrics"), "telemetry.demo"
    ),
    "netflow": Traffic(
        _single(sample_json.netflow),
        _count_query("unmapped->>'n'", "ocsf_network_activity WHERE activity_id = 6"),
        "netflow.demo",
    ),
    "events": Traffic(
        _single(sample_json.events),
        _count_query("unmapped->>'n'", "ocsf_events WHERE log_name LIKE 'events.%'"),
        "events.demo",
    ),
    "sweep": Traffic(
        _single(sample_json.sweep),
        _count_query("unmapped->'metadata'->>'n'", "ocsf_network_activity WHERE activity_id = 99"),
        "sweep.demo",
    ),
    "otel_traces": Traffic(
        sample_otlp.traces, _count_query("attributes::jsonb->>'n'", "otel_traces"), "otel.traces.demo", 5
    ),
    "otel_metrics": Traffic(
        sample_otlp.metrics, _count_query("attributes->>'n'", "otel_metrics"), "otel.metrics.demo", 5
    ),
    "logs": Traffic(
        sample_otlp.logs,
        _count_query("unmapped->'attributes'->>'n'", "ocsf_events WHERE log_name LIKE 'logs.%'"),
        "logs.demo",
        5,
    ),
    "json": Traffic(
        _single(sample_json.readings),
        _count_query("number", "demo_readings"),
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
"""Sample messages of each kind, with the query that counts what became of them."""


def payload(kind: str, rng: random.Random, n: int, now_ns: int | None = None, records: int | None = None) -> bytes:
    """
    Return message number `n` of `kind`, which is garbage once in `GARBAGE_EVERY` messages.

    Args:
        now_ns: Time in the message, nanoseconds since 1970; default: now.
        records: Records in the message, for kinds whose messages hold several; default: that of the demo.
    """
    if n % GARBAGE_EVERY == GARBAGE_EVERY - 1:
        return b"\x00 this is no JSON"
    return well_formed(kind, rng, n, now_ns, records)


def well_formed(kind: str, rng: random.Random, n: int, now_ns: int | None = None, records: int | None = None) -> bytes:
    """Return message number `n` of `kind`, never garbage. The arguments are those of `payload`."""
    traffic = TRAFFIC[kind]
    return traffic.make(rng, n, clock.now_ns() if now_ns is None else now_ns, records or traffic.records)

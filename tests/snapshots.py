"""Snapshots for tests of their readers, built by the supervisor's own code."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from eventwriter.model import SlotName
from eventwriter.observe.histogram import LATENCY_S, MESSAGES, STAGE_S, Histogram
from eventwriter.postgres.circuit_breaker import CircuitBreaker
from eventwriter.supervisor.slot import ChildName, Slot, State, Worker
from eventwriter.supervisor.status import Daemon, snapshot
from eventwriter.supervisor.web import web_to_dict

STARTED_S = 1000.0
USAGE = {"rss_bytes": 50_000_000, "cpu_s": 1.5, "open_fds": 12}


def plain(bounds: Iterable[float], *values: float) -> dict[str, Any]:
    """Return the histogram of these values as a heartbeat carries it."""
    histogram = Histogram(tuple(bounds))
    for value in values:
        histogram.observe(value)
    return histogram.plain()


def heartbeat(**fields: Any) -> dict[str, Any]:
    """Return the heartbeat of a healthy worker that has written a few messages."""
    return {
        "type": "heartbeat",
        "state": "running",
        "nats_connected": True,
        "postgres_connected": True,
        "nats_url": "nats://n:4222",
        "postgres_target": "db/p as u",
        "nats_reconnects": 1,
        "postgres_reconnects": 2,
        "postgres_circuit": CircuitBreaker().to_dict(STARTED_S),
        "stream": "events",
        "durable": "eventwriter-telemetry",
        "kind": "telemetry",
        "tables": "timeseries_metrics",
        "messages_total": 110,
        "rows_total": 100,
        "batches_total": 2,
        "bytes_total": 11_000,
        "dead_letters_total": 10,
        "dead_letters_by_reason": {"malformed": 7, "rejected": 3},
        "errors_by_sqlstate_class": {"23": 1, "connect": 4},
        "batches_by_trigger": {"rows": 1, "age": 1},
        "clamped_by_column": {"octets": 2},
        "nulled_by_column": {"severity_number": 3},
        "redacted_by_key": {"snmp_community": 4},
        "pull_wait_us_total": 3_000_000,
        "queue_wait_us_total": 500_000,
        "quarantine_us_total": 0,
        "postgres_unanswered_s": 0.0,
        "nats_unanswered_s": 0.0,
        "lag_messages": 5,
        "lag_s": 0.25,
        "stream_first_seq": 1,
        "stream_last_seq": 90,
        "retention_used": 0.25,
        "num_pending": 3,
        "ack_pending": 2,
        "held_messages": 2,
        "held_bytes": 200,
        "batches_in_flight": 1,
        "last_commit_at_ns": 1_767_225_600_000_000_000,
        "epoch": 0,
        **USAGE,
        "histograms": {
            "stage_s": {"copy": plain(STAGE_S, 0.004, 0.3), "decode": plain(STAGE_S, 0.0001, 0.0002)},
            "latency_s": {"": plain(LATENCY_S, *[0.2] * 110)},
            "batch_messages": {"rows": plain(MESSAGES, 100), "age": plain(MESSAGES, 10)},
        },
        **fields,
    }


def made(
    slots: Mapping[str, Mapping[str, Any]], uptime_s: float = 60.0, web: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """
    Return a snapshot as the control socket transmits it.

    Args:
        slots: Slot name → heartbeat of its worker; an empty heartbeat for a failed slot.
        uptime_s: Uptime of the daemon.
        web: Heartbeat of the web child.
    """
    now_s = STARTED_S + uptime_s
    daemon = Daemon("1.2.3", 42, 1_767_225_600_000_000_000, STARTED_S, stopping=False)
    parts = {
        **snapshot(now_s, daemon, [slot(SlotName.parse(name), now_s, fields) for name, fields in slots.items()]),
        "web": web_to_dict(now_s, slot("web", now_s, web)) if web else None,
        "supervisor": USAGE,
    }
    answer: dict[str, Any] = json.loads(json.dumps(parts))
    return answer


def slot(name: ChildName, now_s: float, fields: Mapping[str, Any]) -> Slot:
    """Return a slot with a worker that has just sent a heartbeat, or a failed slot for an empty heartbeat."""
    if not fields:
        return Slot(name, STARTED_S, State.FAILED, last_exit="exit code 3", retry_at_s=now_s + 9)
    worker = Worker(7, -1, None, STARTED_S, "f")  # type: ignore[arg-type]
    result = Slot(name, STARTED_S, State.STARTING, worker, starts=1)
    result.record_heartbeat(now_s, fields)
    return result

"""
Builds the heartbeat of a worker: its state, counters and gauges, as declared in `observe.heartbeat`.

The event loop that runs the pipeline sends it, so a blocked loop shows as missing heartbeats.
Each is one JSON object in one packet of a SOCK_SEQPACKET pair.
"""

import orjson

from eventwriter import clock
from eventwriter.jetstream.consumer import ConsumerState
from eventwriter.jetstream.errors import without_credentials
from eventwriter.observe.heartbeat import Connections, Details, Gauges, Heartbeat, Reconnects, heartbeat_fields
from eventwriter.observe.process import own_usage
from eventwriter.pipeline.held import HeldMessages
from eventwriter.postgres.session import COMMIT
from eventwriter.worker.context import WorkerContext
from eventwriter.worker.session import Session

_WARNINGS_MAX = 5
"""Most warnings in one heartbeat; a packet has a size limit."""


def lag_s(
    held: HeldMessages, consumer: ConsumerState | None, received_last_ns: int | None, now_ns: int
) -> float | None:
    """
    Return the age of the oldest unsettled message in seconds, 0.0 if there is none, None if it is unknown.

    JetStream reveals only the number of messages that it has not delivered yet. Their age is
    then at least that of the newest message received.
    """
    oldest_ns = held.oldest_ns()
    if oldest_ns is None and consumer is not None and consumer.pending:
        oldest_ns = received_last_ns
        if oldest_ns is None:
            return None
    return 0.0 if oldest_ns is None else max(0.0, (now_ns - oldest_ns) / 1e9)


def report(
    context: WorkerContext, session: Session | None, consumer: ConsumerState | None, kind: str = "heartbeat"
) -> bytes:
    """Return one heartbeat packet."""
    counters, status = context.counters, context.status
    state, reason = status.reported()
    stream = context.stream
    counters.errors_by_sqlstate_class = context.postgres.errors
    heartbeat: Heartbeat = {
        "type": kind,
        "state": state,
        "reason": reason,
        "dying": counters.dead_letter_ratio.warning(clock.monotonic_s(), stream.dead_letter_share_max, stream.name),
        "missing": session.compactor.missing if session is not None else None,
        "suspects": counters.suspects,
        "last_error": status.last_error,
        "last_error_at_ns": status.last_error_at_ns,
    }
    packet = {
        **heartbeat,
        **heartbeat_fields(counters, context.adjustments, counters.times, _running_s(context)),
        **_connections(context),
        **_details(context),
        **_gauges(context, session, consumer),
    }
    return orjson.dumps(packet)


def _running_s(context: WorkerContext) -> dict[str, float]:
    """Return the seconds that each running stage or wait has taken so far."""
    running_s = context.counters.times.running_s(clock.monotonic_s())
    statement = context.postgres.running
    if statement is not None and statement.command == COMMIT:
        running_s["commit"] = clock.monotonic_s() - statement.started_s
    return running_s


def _connections(context: WorkerContext) -> dict[str, object]:
    """Return the state of both connections, and how often each was lost and re-established."""
    connections: Connections = {
        "nats_connected": context.nats.connected,
        "postgres_connected": context.postgres.connected,
    }
    reconnects: Reconnects = {
        "nats_reconnects": context.nats.reconnects,
        "postgres_reconnects": max(0, context.postgres.reconnects),
    }
    return {**connections, **reconnects}


def _details(context: WorkerContext) -> Details:
    counters, statement = context.counters, context.postgres.running
    return {
        "nats_url": without_credentials(context.settings.nats.servers),
        "postgres_target": context.postgres.target,
        "postgres_statement": statement.command if statement is not None else None,
        "postgres_blocked_by": context.statement_monitor.blocked_by,
        "postgres_circuit": context.postgres.circuit_breaker.to_dict(clock.monotonic_s()),
        **own_usage(),
        "batch_messages_last": counters.batch_messages_last,
        "batch_trigger_last": counters.batch_trigger_last,
        "commit_p50_ms": counters.commit_ms(0.5),
        "commit_p99_ms": counters.commit_ms(0.99),
        "stream": context.stream.stream_name,
        "durable": context.durable,
        "kind": context.stream.kind,
        "tables": ",".join(context.tables),
        "warnings": list(context.warnings[:_WARNINGS_MAX]),
        "storage": context.partition_maintenance.state.to_dict(),
    }


def _gauges(context: WorkerContext, session: Session | None, consumer: ConsumerState | None) -> Gauges:
    """Return the gauges that are known; those of the binding, of the consumer and of the stream may be missing."""
    gauges: Gauges = {
        "last_commit_at_ns": context.counters.last_commit_at_ns,
        "postgres_unanswered_s": round(context.statement_monitor.unanswered_s(), 3),
        "nats_unanswered_s": round(context.nats.unanswered_s(), 3),
    }
    if consumer is not None:
        gauges["num_pending"] = consumer.pending
        gauges["ack_pending"] = consumer.ack_pending
        gauges["lag_messages"] = consumer.pending + consumer.ack_pending
    if (stats := context.stream_monitor.latest) is not None:
        gauges["stream_first_seq"] = stats.first_seq
        gauges["stream_last_seq"] = stats.last_seq
        gauges["retention_used"] = None if stats.retention_used is None else round(stats.retention_used, 4)
    if session is not None:
        gauges["lag_s"] = lag_s(session.held, consumer, session.pull.received_last_ns, clock.now_ns())
        gauges["batches_in_flight"] = len(session.held.in_flight)
        gauges["held_messages"] = session.held.count()
        gauges["held_bytes"] = session.held.size_bytes()
        gauges["epoch"] = session.ledger.key.origin.epoch
    return gauges

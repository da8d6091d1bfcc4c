"""
What a worker tells its parent once a second: its state, its counters, and where its time goes.

Sent from the worker's own event loop, so that a blocked loop shows as silence.
One JSON object a packet, on a SOCK_SEQPACKET pair.
"""

from typing import Any

import orjson

from eventwriter import clock
from eventwriter.jetstream.consumer import ConsumerState
from eventwriter.jetstream.errors import shown
from eventwriter.observe.process import own_usage
from eventwriter.pipeline.counters import Counters
from eventwriter.pipeline.pipeline import Pipeline
from eventwriter.worker.session import Bound, SessionBuilder

_WARNINGS_MAX = 5
"""Warnings that a packet carries at most."""


def lag_s(line: Pipeline, consumer: ConsumerState | None, received_last_ns: int | None, now_ns: int) -> float | None:
    """
    Return how old the oldest unanswered message is; seconds, 0.0 where there is none.

    Of messages that are not delivered yet only their number is known; the newest one
    received is then the best lower bound of their age.
    """
    oldest_ns = line.oldest_ns()
    if oldest_ns is None and consumer is not None and consumer.pending:
        oldest_ns = received_last_ns
        if oldest_ns is None:
            return None
    return 0.0 if oldest_ns is None else max(0.0, (now_ns - oldest_ns) / 1e9)


def report(
    wiring: SessionBuilder, bound: Bound | None, consumer: ConsumerState | None, kind: str = "heartbeat"
) -> bytes:
    """Return one packet: the worker's state and counters."""
    counters, condition, tally = wiring.counters, wiring.condition, wiring.tally
    state, reason = condition.shown()
    now_s = clock.monotonic_s()
    facts: dict[str, Any] = {
        "type": kind,
        "state": state,
        "reason": reason,
        **_links(wiring),
        **_totals(counters),
        "dying": counters.dead_letter_ratio.sentence(now_s, wiring.stream.dead_letter_share_max, wiring.stream.name),
        "missing": bound.folding.missing if bound is not None else None,
        "warnings": wiring.warnings[:_WARNINGS_MAX],
        "suspects": counters.suspects,
        "storage": wiring.storage.state.picture(),
        "timestamp_defaulted_total": tally.timestamp_defaulted,
        "clamped_total": tally.clamped,
        "fields_ignored_total": tally.fields_ignored,
        "batches_by_trigger": {str(trigger): n for trigger, n in counters.by_trigger.items()},
        "batch_messages_last": counters.batch_messages_last,
        "batch_trigger_last": counters.batch_trigger_last,
        **_times(counters),
        "errors_by_sqlstate_class": dict(wiring.copy_in.errors),
        **own_usage(),
        "last_error": condition.last_error,
        "last_error_at_ns": condition.last_error_at_ns,
        "last_commit_at_ns": counters.last_commit_at_ns,
        "stream": wiring.stream.stream_name,
        "durable": wiring.durable,
    }
    if consumer is not None:
        facts |= {
            "num_pending": consumer.pending,
            "ack_pending": consumer.ack_pending,
            "lag_messages": consumer.pending + consumer.ack_pending,
        }
    if wiring.watch.seen is not None:
        facts |= wiring.watch.seen.facts()
    if bound is not None:
        facts |= {
            "lag_s": lag_s(bound.line, consumer, bound.pull.received_last_ns, clock.now_ns()),
            "batches_in_flight": len(bound.line.in_flight),
            "held_messages": bound.line.held_count(),
            "held_bytes": bound.line.held_bytes(),
            "epoch": bound.ledger.key.origin.epoch,
        }
    return orjson.dumps(facts)


def _totals(counters: Counters) -> dict[str, Any]:
    """Return what only rises."""
    return {
        "messages_total": counters.messages,
        "rows_total": counters.rows,
        "duplicates_total": counters.duplicates,
        "detours_total": counters.detours,
        "dead_letters_total": counters.dead_letters,
        "dead_letters_by_reason": dict(counters.dead_by_reason),
        "dead_letters_expired_total": counters.expired,
        "ignored_total": counters.ignored,
        "already_written_total": counters.already_written,
        "redelivered_total": counters.redelivered,
        "batches_total": counters.batches,
        "bytes_total": counters.payload_bytes,
        "retries_total": counters.retries,
        "acks_total": counters.acks,
        "acks_lost_total": counters.acks_lost,
    }


def _links(wiring: SessionBuilder) -> dict[str, Any]:
    """Return how the worker stands with both servers."""
    return {
        "nats_connected": wiring.link.connected,
        "nats_url": shown(wiring.settings.nats.servers),
        "nats_reconnects": wiring.link.reconnects,
        "postgres_connected": wiring.copy_in.connected,
        "postgres_target": wiring.copy_in.target,
        "postgres_reconnects": max(0, wiring.copy_in.reconnects),
        "postgres_circuit": wiring.copy_in.circuit.picture(clock.monotonic_s()),
    }


def _times(counters: Counters) -> dict[str, Any]:
    """Return where a batch's time went."""
    return {
        "histograms": counters.times.plain(),
        "pull_wait_us_total": round(counters.times.pull_wait_s * 1e6),
        "queue_wait_us_total": round(counters.times.queue_wait_s * 1e6),
        "careful_us_total": round(counters.times.careful_s * 1e6),
        "commit_p50_ms": counters.commit_ms(0.5),
        "commit_p99_ms": counters.commit_ms(0.99),
    }

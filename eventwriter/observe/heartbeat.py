"""
The heartbeat: one declared record that worker, supervisor and web child share.

A worker sends it to the supervisor about once a second, as one JSON object. The supervisor
adds up the counters over all workers that a slot has had and shows them, with the gauges of
the living worker, in the snapshot. The web child exports the fields whose type carries an
`Exported` annotation. A new counter therefore needs one field here, the statement that
increments it, and its row in `docs/monitoring.md`.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from inspect import get_annotations
from typing import Annotated, Any, TypedDict, get_origin, get_type_hints

from eventwriter.errors import DEAD_LETTER_REASONS
from eventwriter.model import Adjustments, Exported, Trigger
from eventwriter.observe.histogram import LATENCY_S, MESSAGES, STAGE_S, Histogram, Plain, added

STAGES = ("decode", "rows", "copy", "commit", "ack")
"""Stages whose seconds are observed for each batch. `copy` is the whole transaction, including retries, waiting
for the server, and the commit; `commit` is the last part of it."""


@dataclass(slots=True)
class MessageCounters:
    """Counters of messages, rows and acknowledgements since the worker started; updated once per batch."""

    messages_total: Annotated[
        int, Exported("eventwriter_messages_total", "Messages settled: written, dead-lettered or ignored.")
    ] = 0
    rows_total: Annotated[int, Exported("eventwriter_rows_total", "Rows inserted or replaced.")] = 0
    bytes_total: Annotated[
        int, Exported("eventwriter_payload_bytes_total", "Bytes of the settled messages' payloads.")
    ] = 0
    duplicates_total: Annotated[
        int, Exported("eventwriter_duplicate_rows_total", "Rows not written because of a table's conflict rule.")
    ] = 0
    staged_merges_total: Annotated[
        int, Exported("eventwriter_staged_merges_total", "Batches that went through a staging table.")
    ] = 0
    dead_letters_total: int = 0
    """Sum of `dead_letters_by_reason`."""
    dead_letters_by_reason: Annotated[
        Counter[str],
        Exported(
            "eventwriter_dead_letters_total",
            "Messages that became dead letters.",
            "reason",
            words=DEAD_LETTER_REASONS,
        ),
    ] = field(default_factory=Counter)
    dead_letters_expired_total: Annotated[
        int, Exported("eventwriter_dead_letters_expired_total", "Dead letters that retention deleted.")
    ] = 0
    ignored_total: Annotated[
        int, Exported("eventwriter_ignored_messages_total", "Messages ignored because of `ignore_subjects`.")
    ] = 0
    already_written_total: Annotated[
        int, Exported("eventwriter_already_written_messages_total", "Messages that were already in the ledger.")
    ] = 0
    redelivered_total: Annotated[
        int, Exported("eventwriter_redelivered_messages_total", "Deliveries of a message after the first one.")
    ] = 0
    batches_total: int = 0
    """Settled batches; in Prometheus the count of `eventwriter_batch_messages`."""
    batches_by_trigger: Counter[str] = field(default_factory=Counter)
    """Settled batches by trigger; in Prometheus the count of `eventwriter_batch_messages`."""
    acks_total: Annotated[int, Exported("eventwriter_acks_total", "Acknowledgements sent.")] = 0
    acks_lost_total: Annotated[
        int, Exported("eventwriter_acks_lost_total", "Acknowledgements not sent because NATS was not connected.")
    ] = 0


@dataclass(slots=True)
class WorkerCounters(MessageCounters):
    """All counters that a worker increments, except `Adjustments` and `StageTimes`."""

    retries_total: Annotated[
        int, Exported("eventwriter_retries_total", "Attempts repeated because PostgreSQL was unavailable.")
    ] = 0
    errors_by_sqlstate_class: Annotated[
        Counter[str],
        Exported(
            "eventwriter_postgres_errors_total",
            "Errors by SQLSTATE class; `connect` is a failed connection attempt, `none` a lost connection.",
            "sqlstate_class",
        ),
    ] = field(default_factory=Counter)


@dataclass(slots=True)
class StageTimes:
    """
    Time that batches spend in each stage: a few observations per batch, none per message.

    The two tasks of a pipeline are each in one stage, or waiting, at any time. The stages and
    the waits together account for all of their time.
    """

    stage_s: Annotated[
        dict[str, Histogram],
        Exported(
            "eventwriter_stage_seconds",
            "Seconds of one batch in a stage; commit is the last part of copy; the sum includes the running stage.",
            "stage",
            bounds=STAGE_S,
            words=STAGES,
        ),
    ] = field(default_factory=lambda: {stage: Histogram(STAGE_S) for stage in STAGES})
    latency_s: Annotated[
        Histogram,
        Exported(
            "eventwriter_latency_seconds",
            "Seconds from the JetStream timestamp of a batch's oldest message to its commit, counted once per message.",
            bounds=LATENCY_S,
        ),
    ] = field(default_factory=lambda: Histogram(LATENCY_S))
    batch_messages: Annotated[
        dict[Trigger, Histogram],
        Exported(
            "eventwriter_batch_messages",
            "Messages of a batch, by the trigger that sealed it.",
            "trigger",
            bounds=MESSAGES,
            words=tuple(map(str, Trigger)),
        ),
    ] = field(default_factory=lambda: {trigger: Histogram(MESSAGES) for trigger in Trigger})
    pull_wait_us_total: Annotated[
        int,
        Exported("eventwriter_pull_wait_seconds_total", "Seconds without a message to decode.", scale=1e-6),
    ] = 0
    queue_wait_us_total: Annotated[
        int,
        Exported(
            "eventwriter_queue_wait_seconds_total",
            "Seconds that sealed batches waited for the copy stage.",
            scale=1e-6,
        ),
    ] = 0
    quarantine_us_total: Annotated[
        int,
        Exported(
            "eventwriter_quarantine_seconds_total",
            "Seconds of decoding in small groups, because a message may have killed a worker.",
            scale=1e-6,
        ),
    ] = 0

    def histograms(self, running_s: Mapping[str, float]) -> dict[str, dict[str, Plain]]:
        """
        Return the histograms as the heartbeat carries them, without empty stages and triggers.

        Args:
            running_s: Seconds that each running stage has taken so far. They count in the sum, so that a batch that
                PostgreSQL does not answer shows in the share of the stage before it ends.
        """
        stages = {stage: histogram.plain() for stage, histogram in self.stage_s.items()}
        for stage, elapsed_s in running_s.items():
            if stage in stages:
                stages[stage]["sum"] = round(stages[stage]["sum"] + elapsed_s, 6)
        return {
            "stage_s": {
                stage: plain for stage, plain in stages.items() if self.stage_s[stage].total or stage in running_s
            },
            "latency_s": {"": self.latency_s.plain()},
            "batch_messages": {str(trigger): one.plain() for trigger, one in self.batch_messages.items() if one.total},
        }


class Reconnects(TypedDict, total=False):
    """Counters of the living worker only; they begin at 0 with each worker."""

    nats_reconnects: Annotated[
        int, Exported("eventwriter_nats_reconnects_total", "Reconnects of the living worker to NATS.")
    ]
    postgres_reconnects: Annotated[
        int, Exported("eventwriter_postgres_reconnects_total", "Reconnects of the living worker to PostgreSQL.")
    ]


class Gauges(TypedDict, total=False):
    """Current values of the living worker; a missing one is unknown."""

    lag_messages: Annotated[
        int, Exported("eventwriter_lag_messages", "Messages that are not settled: pending and ack pending.")
    ]
    lag_s: Annotated[float | None, Exported("eventwriter_lag_seconds", "Age of the oldest unsettled message.")]
    stream_first_seq: Annotated[
        int, Exported("eventwriter_stream_first_sequence", "First sequence of the stream, refreshed every few seconds.")
    ]
    stream_last_seq: Annotated[
        int,
        Exported(
            "eventwriter_stream_last_sequence",
            "Last sequence of the stream over all subjects, refreshed every few seconds.",
        ),
    ]
    retention_used: Annotated[
        float | None,
        Exported(
            "eventwriter_retention_used_ratio",
            "Ratio of the stream's nearest limit that the oldest unsettled message has reached; at 1 it is dropped.",
        ),
    ]
    num_pending: Annotated[
        int, Exported("eventwriter_pending_messages", "Messages that JetStream has not delivered yet.")
    ]
    ack_pending: Annotated[
        int, Exported("eventwriter_ack_pending_messages", "Messages delivered and not acknowledged.")
    ]
    held_messages: Annotated[int, Exported("eventwriter_held_messages", "Messages in the worker's memory.")]
    held_bytes: Annotated[int, Exported("eventwriter_held_bytes", "Bytes of payloads and rows in the worker's memory.")]
    batches_in_flight: Annotated[
        int,
        Exported("eventwriter_batches_in_flight", "Batches sealed and not settled: queued or being copied."),
    ]
    postgres_unanswered_s: Annotated[
        float,
        Exported(
            "eventwriter_postgres_unanswered_seconds",
            "Time since PostgreSQL was sent the running statement of a batch or of a probe; 0 if none is running.",
        ),
    ]
    nats_unanswered_s: Annotated[
        float,
        Exported(
            "eventwriter_nats_unanswered_seconds",
            "Time since the first request that NATS has not answered; 0 if the last one was answered.",
        ),
    ]
    last_commit_at_ns: Annotated[
        int | None,
        Exported("eventwriter_last_commit_timestamp_seconds", "Time of the last commit.", scale=1e-9),
    ]
    epoch: Annotated[
        int, Exported("eventwriter_ledger_epoch", "Epoch of the ledger; it grows when the stream goes backwards.")
    ]


class Connections(TypedDict, total=False):
    """State of the worker's connections."""

    nats_connected: Annotated[bool, Exported("eventwriter_nats_connected", "1 if the worker is connected to NATS.")]
    postgres_connected: Annotated[
        bool, Exported("eventwriter_postgres_connected", "1 if the worker is connected to PostgreSQL.")
    ]


class Details(TypedDict, total=False):
    """Values that the snapshot shows and Prometheus does not."""

    nats_url: str
    postgres_target: str
    postgres_statement: str | None
    """SQL command of a batch or of a probe that PostgreSQL has not answered yet."""
    postgres_blocked_by: str | None
    """Sessions that block this statement, as text."""
    postgres_circuit: Mapping[str, Any]
    """State of the circuit breaker; see `postgres.circuit_breaker`."""
    rss_bytes: int
    cpu_s: float
    open_fds: int
    batch_messages_last: int
    batch_trigger_last: str | None
    commit_p50_ms: float | None
    commit_p99_ms: float | None
    stream: str
    """Name of the JetStream stream."""
    durable: str
    kind: str
    tables: str
    """Names of the tables that the slot writes, separated by commas; empty before they are known."""
    warnings: list[str]
    storage: Mapping[str, Any]
    """State of partition maintenance; see `worker.partitions`."""


class LiveValues(Reconnects, Gauges, Connections, Details, total=False):
    """Everything that the snapshot shows as the living worker reported it; null without a worker."""


class Heartbeat(LiveValues, total=False):
    """
    One packet from a worker, without its counters.

    `heartbeat_fields` returns the fields of `WorkerCounters`, `Adjustments` and `StageTimes`.
    """

    type: str
    """`heartbeat`, or `stopped` for the last packet before the process exits."""
    state: str
    reason: str | None
    dying: str | None
    """Message about too many dead letters, if there are too many."""
    missing: str | None
    """Message about messages that are missing in the ledger, if there are any."""
    suspects: int
    """Messages being decoded now of which one may kill the worker."""
    last_error: str | None
    last_error_at_ns: int | None


LIVE_FIELDS = tuple(LiveValues.__annotations__)
"""Heartbeat fields that the snapshot shows unchanged."""


def declared(record: type) -> dict[str, Any]:
    """Return the types of a record's own fields by name, without inherited fields; dataclass or TypedDict."""
    hints = get_type_hints(record, include_extras=True)
    return {name: hints[name] for name in get_annotations(record)}


def exports(record: type) -> dict[str, Exported]:
    """Return the `Exported` annotations of a record's own fields by heartbeat field name."""
    return {
        heartbeat_name(record, name, hint): extra
        for name, hint in declared(record).items()
        for extra in getattr(hint, "__metadata__", ())
        if isinstance(extra, Exported)
    }


def heartbeat_name(record: type, name: str, hint: Any) -> str:
    """Return the heartbeat field of a record's field: plain counters of `Adjustments` get the suffix `_total`."""
    return f"{name}_total" if record is Adjustments and _is_plain(hint, int) else name


def _is_plain(hint: Any, kind: type) -> bool:
    """Return whether a declared type is `kind` or a subclass, with or without annotation and type arguments."""
    inner = hint.__origin__ if get_origin(hint) is Annotated else hint
    plain = get_origin(inner) or inner
    return isinstance(plain, type) and issubclass(plain, kind)


_COUNTER_TYPES = {
    heartbeat_name(record, name, hint): hint
    for record in (MessageCounters, WorkerCounters, StageTimes, Adjustments)
    for name, hint in declared(record).items()
}

COUNTERS = tuple(name for name, hint in _COUNTER_TYPES.items() if _is_plain(hint, int))
"""Counters of a heartbeat; a worker counts from its start, a slot over all its workers."""

SPLIT_COUNTERS = tuple(name for name, hint in _COUNTER_TYPES.items() if _is_plain(hint, Counter))
"""Counters of a heartbeat that are mappings: a count for each label value."""

BOUNDS: Mapping[str, Any] = {name: one.bounds for name, one in exports(StageTimes).items() if one.bounds is not None}
"""Bucket bounds of the histograms of a slot; each histogram is split by label values."""


def heartbeat_fields(
    counters: WorkerCounters, adjustments: Adjustments, times: StageTimes, running_s: Mapping[str, float]
) -> dict[str, Any]:
    """
    Return the counters and histograms as a heartbeat carries them.

    Args:
        running_s: Seconds that each running stage or wait has taken so far, by the name of its counter without
            `_us_total`, or of its stage.
    """
    sources: tuple[tuple[Any, type], ...] = (
        (counters, WorkerCounters),
        (times, StageTimes),
        (adjustments, Adjustments),
    )
    values = {
        heartbeat_name(declaration, one.name, one.type): getattr(record, one.name)
        for record, declaration in sources
        for one in fields(declaration)
        if one.name not in BOUNDS
    }
    for name, elapsed_s in running_s.items():
        if (counter := f"{name}_us_total") in values:
            values[counter] += round(elapsed_s * 1e6)
    return {**values, "histograms": times.histograms(running_s)}


def add_histograms(one: object, other: object) -> dict[str, dict[str, Plain]]:
    """Return the sum of two heartbeats' `histograms`; undeclared names and malformed values are dropped."""
    sides = [side if isinstance(side, dict) else {} for side in (one, other)]
    total: dict[str, dict[str, Plain]] = {}
    for name in BOUNDS:
        first, second = (side[name] if isinstance(side.get(name), dict) else {} for side in sides)
        total[name] = {key: added(first.get(key), second.get(key)) for key in {**first, **second}}
    return total

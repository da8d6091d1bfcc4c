"""
The metrics, in one literal table: name, kind, labels, meaning, and which figure of the snapshot it is.

Names follow Prometheus's conventions: base units, `_total` for what only grows.
Rates and quantiles are left to Prometheus. Nothing here knows its client library:
the web child exposes what stands here, and `docs/monitoring.md` repeats it.
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a metric is to Prometheus."""

    COUNTER = "counter"
    """Only grows, but for the restart of who counts."""
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    """One of the snapshot's histograms."""
    STATES = "states"
    """A gauge for each word of a fixed list, 1 for the one that is so."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table."""

    name: str
    kind: Kind
    help: str
    """One sentence; ends with its full stop."""
    source: str
    """The key in the picture of what the metric is about."""
    label: str | None = None
    """What splits it, beside the labels of what it is about."""
    words: tuple[str, ...] = ()
    """For `STATES`: every value of the label."""
    scale: float = 1.0
    """What the figure is multiplied with to have the name's unit."""


HEALTHS = ("healthy", "starting", "degraded", "failing")
STATES = ("starting", "running", "draining", "stopped", "backoff", "failed")
WORKER_STATES = ("starting", "running", "waiting", "parked", "draining")

_C, _G, _H, _S = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM, Kind.STATES

SLOT_LABELS = ("stream", "partition")
SLOT_METRICS = (
    # What moved.
    Metric("eventwriter_messages_total", _C, "Messages settled: written, dead or ignored.", "messages_total"),
    Metric("eventwriter_rows_total", _C, "Rows inserted or replaced.", "rows_total"),
    Metric("eventwriter_payload_bytes_total", _C, "Bytes of the settled messages' payloads.", "bytes_total"),
    Metric("eventwriter_duplicate_rows_total", _C, "Rows that a table's conflict rule left out.", "duplicates_total"),
    Metric("eventwriter_detours_total", _C, "Batches that went through a staging table.", "detours_total"),
    Metric("eventwriter_dead_letters_total", _C, "Messages that became dead letters.",
           "dead_letters_by_reason", "reason"),
    Metric("eventwriter_dead_letters_expired_total", _C, "Dead letters that retention deleted.",
           "dead_letters_expired_total"),
    Metric("eventwriter_ignored_messages_total", _C, "Messages dropped as `ignore_subjects` says.", "ignored_total"),
    Metric("eventwriter_already_written_messages_total", _C, "Messages that the ledger had already.",
           "already_written_total"),
    Metric("eventwriter_redelivered_messages_total", _C, "Deliveries of a message after its first.",
           "redelivered_total"),
    Metric("eventwriter_acks_total", _C, "Acknowledgements sent.", "acks_total"),
    Metric("eventwriter_acks_lost_total", _C, "Acknowledgements that found no connection.", "acks_lost_total"),
    Metric("eventwriter_timestamps_defaulted_total", _C,
           "Timestamps that were missing or unusable and became the message's own.", "timestamp_defaulted_total"),
    Metric("eventwriter_values_clamped_total", _C, "Integers cut to their column's range.", "clamped_total"),
    Metric("eventwriter_fields_ignored_total", _C, "Keys of payloads that no column takes.", "fields_ignored_total"),
    # What went wrong.
    Metric("eventwriter_retries_total", _C, "Attempts repeated because PostgreSQL was away.", "retries_total"),
    Metric("eventwriter_postgres_errors_total", _C,
           "Errors by SQLSTATE class; `connect`: no connection came up, `none`: one broke.",
           "errors_by_sqlstate_class", "sqlstate_class"),
    Metric("eventwriter_nats_reconnects_total", _C, "Reconnects to NATS of the living worker.", "nats_reconnects"),
    Metric("eventwriter_postgres_reconnects_total", _C, "Reconnects to PostgreSQL of the living worker.",
           "postgres_reconnects"),
    Metric("eventwriter_worker_restarts_total", _C, "Workers started after the slot's first.", "restarts"),
    # Where the time goes.
    Metric("eventwriter_stage_seconds", _H,
           "Seconds of one batch in a stage; copy is the whole transaction, commit the last part of it.",
           "stage_s", "stage"),
    Metric("eventwriter_latency_seconds", _H,
           "Seconds from JetStream's timestamp to the commit, each message as old as the oldest of its batch.",
           "latency_s"),
    Metric("eventwriter_batch_messages", _H, "Messages of a batch, by what sealed it.", "batch_messages", "trigger"),
    Metric("eventwriter_pull_wait_seconds_total", _C, "Seconds in which there was nothing to decode.",
           "pull_wait_us_total", scale=1e-6),
    Metric("eventwriter_queue_wait_seconds_total", _C, "Seconds in which a sealed batch waited for the copy stage.",
           "queue_wait_us_total", scale=1e-6),
    Metric("eventwriter_careful_seconds_total", _C,
           "Seconds of decoding message by message, as one of them may have killed a worker.",
           "careful_us_total", scale=1e-6),
    # What waits.
    Metric("eventwriter_lag_messages", _G, "Messages neither settled nor dead: pending and ack pending.",
           "lag_messages"),
    Metric("eventwriter_lag_seconds", _G, "Age of the oldest message that is not settled.", "lag_s"),
    Metric("eventwriter_stream_first_sequence", _G, "First sequence in the stream, as of some seconds ago.",
           "stream_first_seq"),
    Metric("eventwriter_stream_last_sequence", _G,
           "Last sequence in the stream, whatever its subject, as of some seconds ago.", "stream_last_seq"),
    Metric("eventwriter_retention_used_ratio", _G,
           "Share of the stream's nearest limit that the oldest unsettled message has used up; 1: dropped.",
           "retention_used"),
    Metric("eventwriter_pending_messages", _G, "Messages that JetStream has not delivered yet.", "num_pending"),
    Metric("eventwriter_ack_pending_messages", _G, "Messages delivered and not answered.", "ack_pending"),
    Metric("eventwriter_held_messages", _G, "Messages in the worker's memory.", "held_messages"),
    Metric("eventwriter_held_bytes", _G, "Bytes of payloads and rows in the worker's memory.", "held_bytes"),
    Metric("eventwriter_batches_in_flight", _G, "Batches sealed and not settled: the queue and the copy stage.",
           "batches_in_flight"),
    Metric("eventwriter_last_commit_timestamp_seconds", _G, "When the last batch was committed.",
           "last_commit_at_ns", scale=1e-9),
    Metric("eventwriter_ledger_epoch", _G, "Grows when the stream went backwards.", "epoch"),
    # How it is.
    Metric("eventwriter_slot_health", _S, "Health of the slot, by progress.", "health", "health", HEALTHS),
    Metric("eventwriter_slot_state", _S, "State of the slot.", "state", "state", STATES),
    Metric("eventwriter_worker_state", _S, "State of the slot's worker; all 0 without one.", "worker_state", "state",
           WORKER_STATES),
    Metric("eventwriter_nats_connected", _G, "Whether the worker has its connection to NATS.", "nats_connected"),
    Metric("eventwriter_postgres_connected", _G, "Whether the worker has its connection to PostgreSQL.",
           "postgres_connected"),
    Metric("eventwriter_postgres_circuit_open", _G, "Whether work on PostgreSQL is held up until an attempt goes well.",
           "postgres_circuit_open"),
    Metric("eventwriter_postgres_circuit_open_seconds", _G, "For how long the circuit to PostgreSQL is open.",
           "postgres_circuit_open_s"),
    Metric("eventwriter_postgres_circuit_attempts", _G, "Failed attempts since the circuit to PostgreSQL opened.",
           "postgres_circuit_attempts"),
)  # fmt: skip
"""About one slot; labelled with its stream entry's name and its partition."""

PROCESS_LABELS = ("process",)
PROCESS_METRICS = (
    Metric("eventwriter_process_resident_memory_bytes", _G, "Resident memory, shared pages included.", "rss_bytes"),
    Metric("eventwriter_process_cpu_seconds_total", _C, "User and system time since the process began.", "cpu_s"),
    Metric("eventwriter_process_open_fds", _G, "Open file descriptors.", "open_fds"),
)  # fmt: skip
"""About one process: `supervisor`, `web`, or a slot's name for its living worker."""

DAEMON_METRICS = (
    Metric("eventwriter_status", _S, "Health of the daemon: that of its worst slot.", "status", "status", HEALTHS),
    Metric("eventwriter_stopping", _G, "Whether the daemon is going down.", "stopping"),
    Metric("eventwriter_start_time_seconds", _G, "When the daemon started.", "started_at_ns", scale=1e-9),
    Metric("eventwriter_build_info", _G, "1; the labels say what runs.", "build", "version"),
    Metric("eventwriter_web_restarts_total", _C, "Web children started after the first.", "web_restarts"),
    Metric("eventwriter_web_clients", _G, "Dashboards that are open.", "web_clients"),
    Metric("eventwriter_snapshot_age_seconds", _G, "Age of the figures; asked for once a second.", "snapshot_age_s"),
)  # fmt: skip
"""About the daemon."""

TABLE = (
    *((metric, SLOT_LABELS) for metric in SLOT_METRICS),
    *((metric, PROCESS_LABELS) for metric in PROCESS_METRICS),
    *((metric, ()) for metric in DAEMON_METRICS),
)
"""Every metric, with the labels of what it is about."""

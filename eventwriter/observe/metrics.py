"""
Table of all Prometheus metrics: name, kind, labels, help, and the field of the snapshot that each exports.

Metrics that a worker reports are declared with their field in `observe.heartbeat`; the others
are declared here. Names follow Prometheus's conventions: base units, and `_total` for
counters. Rates and quantiles are left to Prometheus. `web.exposition` fills the table in, and
`docs/monitoring.md` repeats it.
"""

from dataclasses import dataclass
from enum import StrEnum

from eventwriter.model import Adjustments, Exported
from eventwriter.observe import heartbeat


class Kind(StrEnum):
    """Type of a metric in Prometheus."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    STATES = "states"
    """One gauge per value of a label: 1 for the current value, 0 for the others."""
    INFO = "info"
    """A gauge that is always 1; its labels are fields, to join with metrics of other programs."""


@dataclass(frozen=True, slots=True)
class Metric:
    """
    One metric.

    Attributes:
        help: One sentence; ends with a full stop.
        source: Field of the snapshot, for histograms a key of its `histograms`.
        label: Additional label, whose values are the keys of the field, or `words`.
        words: All values of the label, if they are known; each is exported, also at 0. For `Kind.INFO`, the additional
            labels, which are fields of the subject.
        scale: Factor from the unit of the field to the unit of the metric.
    """

    name: str
    kind: Kind
    help: str
    source: str
    label: str | None = None
    words: tuple[str, ...] = ()
    scale: float = 1.0


HEALTHS = ("healthy", "starting", "degraded", "failing")
STATES = ("starting", "running", "draining", "stopped", "backoff", "failed")
WORKER_STATES = ("starting", "running", "paused", "waiting", "parked", "draining")

_C, _G, _S = Kind.COUNTER, Kind.GAUGE, Kind.STATES


def exported(record: type) -> list[Metric]:
    """Return the metrics of a record of `observe.heartbeat`, in the order of its fields."""
    return [
        Metric(one.metric, _kind(one), one.help, source, one.label, tuple(one.words), one.scale)
        for source, one in heartbeat.exports(record).items()
    ]


def _kind(one: Exported) -> Kind:
    if one.bounds is not None:
        return Kind.HISTOGRAM
    return Kind.COUNTER if one.metric.endswith("_total") else Kind.GAUGE


SLOT_LABELS = ("stream", "partition")
SLOT_METRICS = (
    *exported(heartbeat.MessageCounters),
    *exported(Adjustments),
    *exported(heartbeat.WorkerCounters),
    *exported(heartbeat.Reconnects),
    Metric("eventwriter_worker_restarts_total", _C,
           "Workers started after the slot's first without an operator's request.", "restarts"),
    Metric("eventwriter_worker_requested_restarts_total", _C,
           "Workers started by restart, resume or changed settings.", "restarts_requested"),
    *exported(heartbeat.StageTimes),
    *exported(heartbeat.Gauges),
    Metric("eventwriter_slot_health", _S, "Health of the slot; 1 for the current health.", "health", "health",
           HEALTHS),
    Metric("eventwriter_slot_state", _S, "State of the slot; 1 for the current state.", "state", "state", STATES),
    Metric("eventwriter_worker_state", _S, "State of the slot's worker; all 0 without a worker.", "worker_state",
           "state", WORKER_STATES),
    Metric("eventwriter_slot_info", Kind.INFO,
           "1; the labels name the slot's JetStream stream, durable, kind and tables.", "durable", None,
           ("jetstream_stream", "durable", "kind", "tables")),
    *exported(heartbeat.Connections),
    Metric("eventwriter_postgres_circuit_open", _G,
           "1 while the circuit breaker is open, because PostgreSQL is unavailable.", "postgres_circuit_open"),
    Metric("eventwriter_postgres_circuit_open_seconds", _G, "Time since the circuit breaker opened.",
           "postgres_circuit_open_s"),
    Metric("eventwriter_postgres_circuit_attempts", _G, "Failed attempts since the circuit breaker opened.",
           "postgres_circuit_attempts"),
)  # fmt: skip
"""Metrics of one slot."""

PROCESS_LABELS = ("process",)
PROCESS_METRICS = (
    Metric("eventwriter_process_resident_memory_bytes", _G, "Resident memory, including shared pages.", "rss_bytes"),
    Metric("eventwriter_process_cpu_seconds_total", _C, "User and system time since the process started.", "cpu_s"),
    Metric("eventwriter_process_open_fds", _G, "Open file descriptors.", "open_fds"),
)  # fmt: skip
"""Metrics of one process: `supervisor`, `web`, or the name of a slot for its living worker."""

DAEMON_METRICS = (
    Metric("eventwriter_status", _S, "Health of the daemon: that of its worst slot.", "status", "status", HEALTHS),
    Metric("eventwriter_stopping", _G, "1 while the daemon is stopping.", "stopping"),
    Metric("eventwriter_start_time_seconds", _G, "Start time of the daemon.", "started_at_ns", scale=1e-9),
    Metric("eventwriter_build_info", _G, "1; the label is the version of the daemon.", "build", "version"),
    Metric("eventwriter_web_restarts_total", _C, "Web children started after the first.", "web_restarts"),
    Metric("eventwriter_web_clients", _G, "Open dashboards.", "web_clients"),
    Metric("eventwriter_snapshot_age_seconds", _G, "Age of the snapshot that these values come from.",
           "snapshot_age_s"),
)  # fmt: skip
"""Metrics of the daemon."""


def labels_of(metric: Metric) -> tuple[str, ...]:
    """Return the labels of a metric besides those of its subject."""
    if metric.kind is Kind.INFO:
        return metric.words
    return (metric.label,) if metric.label else ()


TABLE = (
    *((metric, SLOT_LABELS) for metric in SLOT_METRICS),
    *((metric, PROCESS_LABELS) for metric in PROCESS_METRICS),
    *((metric, ()) for metric in DAEMON_METRICS),
)
"""Every metric, with the labels of its subject."""

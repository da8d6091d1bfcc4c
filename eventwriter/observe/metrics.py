"""
The metrics, in one literal table: name, kind, labels, meaning, and which figure of the snapshot it is.

Names follow Prometheus's conventions: base units, `_total` for what only grows.
Rates and quantiles are left to Prometheus. Nothing here knows its client library:
the web child exposes what stands here, and `docs/monitoring.md` repeats it.
"""

from dataclasses import dataclass
from enum import StrEnum

from eventwriter.model import Adjustments, Exported
from eventwriter.observe import heartbeat


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

_C, _G, _S = Kind.COUNTER, Kind.GAUGE, Kind.STATES


def exported(record: type, suffix: str = "") -> list[Metric]:
    """Return the metrics of a declared record, in the order of its fields; see `observe.heartbeat`."""
    return [
        Metric(one.metric, _kind(one), one.help, source, one.label, scale=one.scale)
        for source, one in heartbeat.exports(record, suffix).items()
    ]


def _kind(one: Exported) -> Kind:
    if one.bounds is not None:
        return Kind.HISTOGRAM
    return Kind.COUNTER if one.metric.endswith("_total") else Kind.GAUGE


SLOT_LABELS = ("stream", "partition")
SLOT_METRICS = (
    *exported(heartbeat.MessageCounters),
    *exported(Adjustments, "_total"),
    *exported(heartbeat.WorkerCounters),
    *exported(heartbeat.Reconnects),
    Metric("eventwriter_worker_restarts_total", _C, "Workers started after the slot's first.", "restarts"),
    *exported(heartbeat.StageTimes),
    *exported(heartbeat.Gauges),
    Metric("eventwriter_slot_health", _S, "Health of the slot, by progress.", "health", "health", HEALTHS),
    Metric("eventwriter_slot_state", _S, "State of the slot.", "state", "state", STATES),
    Metric("eventwriter_worker_state", _S, "State of the slot's worker; all 0 without one.", "worker_state", "state",
           WORKER_STATES),
    *exported(heartbeat.Connections),
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

"""The Prometheus text, compared with the table of metrics and the snapshot."""

import re
import shutil
import subprocess
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from snapshots import heartbeat, made

from eventwriter.observe import metrics
from eventwriter.observe.heartbeat import BOUNDS
from eventwriter.observe.metrics import Kind
from eventwriter.postgres.circuit_breaker import CircuitBreaker
from eventwriter.web.exposition import Exposition, slot_fields, text

SNAPSHOT = made(
    {"NETFLOW/0": heartbeat(), "NETFLOW/1": heartbeat(), "LOGS/0": {}},
    web={"type": "heartbeat", "state": "running", "clients": 3, "rss_bytes": 1, "cpu_s": 2.0, "open_fds": 3},
)
NETFLOW = {"stream": "NETFLOW", "partition": "0"}


def exposed(snapshot: dict[str, Any] = SNAPSHOT) -> str:
    """Return the text for a request without an Accept header."""
    return text(Exposition(snapshot, 0.5), "")[0].decode()


def samples(snapshot: dict[str, Any] = SNAPSHOT) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return every sample: value by (name, labels)."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(exposed(snapshot))
        for sample in family.samples
    }


def value(name: str, **labels: str) -> float:
    """Return the value of one sample."""
    return samples()[(name, tuple(sorted(labels.items())))]


def test_text_has_exactly_the_metrics_of_the_table() -> None:
    """Each metric of the table is exposed with its kind and help, and no other metric is."""
    exposed_kinds = {match[1]: match[2] for match in re.finditer(r"^# TYPE (\S+) (\S+)$", exposed(), re.M)}
    kinds = {Kind.STATES: "gauge", Kind.INFO: "gauge"}

    assert {metric.name: str(kinds.get(metric.kind, metric.kind)) for metric, _ in metrics.TABLE} == exposed_kinds
    for metric, _ in metrics.TABLE:
        assert f"# HELP {metric.name} {metric.help}\n" in exposed()


@pytest.mark.parametrize(("metric", "labels"), metrics.TABLE, ids=lambda part: getattr(part, "name", ""))
def test_samples_have_the_labels_of_the_table(metric: metrics.Metric, labels: tuple[str, ...]) -> None:
    """Every sample has the labels of its subject and the additional label of its metric."""
    expected = {*labels, *metrics.labels_of(metric)}
    found = [set(dict(names)) - {"le"} for (name, names) in samples() if name.startswith(metric.name)]

    assert found
    assert all(expected <= names for names in found if names)


@pytest.mark.parametrize(("metric", "labels"), metrics.TABLE, ids=lambda part: getattr(part, "name", ""))
def test_names_follow_the_conventions(metric: metrics.Metric, labels: tuple[str, ...]) -> None:
    """Only counters end in _total, units are base units, and a help text is one sentence."""
    assert (metric.kind is Kind.COUNTER) == metric.name.endswith("_total")
    assert not re.search(r"_(ms|us|ns|millis|mb|kb|minutes)(_|$)", metric.name)
    assert metric.help.endswith(".") or metric.help.startswith("1; ")
    assert metric.help.count(". ") == 0


@pytest.mark.parametrize("metric", metrics.SLOT_METRICS, ids=lambda metric: metric.name)
def test_source_is_a_field_of_the_snapshot(metric: metrics.Metric) -> None:
    """The source of every metric is a field of a slot in the snapshot, or one of its histograms."""
    slot = slot_fields(SNAPSHOT["slots"][0])

    assert metric.source in (BOUNDS if metric.kind is Kind.HISTOGRAM else slot)


def test_every_counter_of_a_slot_is_exposed() -> None:
    """Every counter of a slot is exposed, except those that a histogram repeats."""
    known = {metric.source for metric in metrics.SLOT_METRICS} | {"batches_total", "dead_letters_total"}

    assert set() == {key for key in SNAPSHOT["slots"][0] if key.endswith("_total")} - known


def test_states_are_those_of_the_supervisor() -> None:
    """The table has every state and every health that the supervisor can report."""
    from eventwriter.supervisor.slot import State
    from eventwriter.supervisor.status import Health

    assert [str(one) for one in State] == list(metrics.STATES)
    assert [str(one) for one in Health] == list(metrics.HEALTHS)


def test_values_have_the_units_of_their_names() -> None:
    """Microseconds and nanoseconds are converted to seconds, booleans to 0 and 1, states to one sample per value."""
    assert 110 == value("eventwriter_messages_total", **NETFLOW)
    assert 3 == value("eventwriter_pull_wait_seconds_total", **NETFLOW)
    assert 1_767_225_600 == value("eventwriter_last_commit_timestamp_seconds", **NETFLOW)
    assert 1 == value("eventwriter_postgres_connected", **NETFLOW)
    assert 7 == value("eventwriter_dead_letters_total", reason="malformed", **NETFLOW)
    assert 4 == value("eventwriter_postgres_errors_total", sqlstate_class="connect", **NETFLOW)
    assert (1, 0) == tuple(
        value("eventwriter_slot_state", state=state, stream="LOGS", partition="0") for state in ("failed", "running")
    )
    assert 1 == value("eventwriter_status", status="failing")
    assert 1 == value("eventwriter_build_info", version="1.2.3")
    assert 3 == value("eventwriter_web_clients")
    assert 0.5 == value("eventwriter_snapshot_age_seconds")


CIRCUIT = ("open", "open_seconds", "attempts")


def circuit(slot: str, snapshot: dict[str, Any] = SNAPSHOT) -> list[float | None]:
    """Return the three samples of a slot's circuit breaker; None for a missing one."""
    stream, partition = slot.split("/")
    labels = (("partition", partition), ("stream", stream))
    found = samples(snapshot)
    return [found.get((f"eventwriter_postgres_circuit_{name}", labels)) for name in CIRCUIT]


def test_open_circuit_is_exposed_with_its_age_and_attempts() -> None:
    """An open circuit breaker is exposed as 1 with its duration and failed attempts, for its slot only."""
    one = CircuitBreaker()
    one.record_failure(10.0, "connection refused", writing=True)
    one.record_failure(12.5, "connection refused", writing=True)
    snapshot = made({"A/0": heartbeat(postgres_circuit=one.to_dict(14.5)), "A/1": heartbeat()})

    assert [1, 4.5, 2] == circuit("A/0", snapshot)
    assert [0, 0, 0] == circuit("A/1", snapshot)


def test_closed_circuit_is_zero() -> None:
    """A circuit breaker that has closed again is exposed as 0 in all three metrics, so that alerts are resolved."""
    one = CircuitBreaker()
    one.record_failure(10.0, "connection refused", writing=True)
    one.record_success(writing=True)

    assert [0, 0, 0] == circuit("A/0", made({"A/0": heartbeat(postgres_circuit=one.to_dict(11.0))}))


def test_slot_without_worker_has_no_circuit() -> None:
    """A slot without a worker has no samples of a circuit breaker."""
    assert [None, None, None] == circuit("LOGS/0")


def test_histogram_is_cumulative() -> None:
    """Buckets are cumulative up to the count, and the sum is that of the values."""
    copy = {"stage": "copy", **NETFLOW}

    assert [0, 1, 1, 2, 2] == [
        value("eventwriter_stage_seconds_bucket", le=le, **copy) for le in ("0.0025", "0.005", "0.25", "0.5", "+Inf")
    ]
    assert (2, pytest.approx(0.304)) == (
        value("eventwriter_stage_seconds_count", **copy),
        value("eventwriter_stage_seconds_sum", **copy),
    )
    assert 110 == value("eventwriter_latency_seconds_bucket", le="0.25", **NETFLOW)


def test_unknown_value_has_no_sample() -> None:
    """An unknown value, such as the lag of a slot without a worker, has no sample."""
    assert ("eventwriter_lag_messages", (("partition", "0"), ("stream", "LOGS"))) not in samples()
    assert {"supervisor", "web", "NETFLOW/0", "NETFLOW/1"} == {
        dict(labels)["process"] for name, labels in samples() if name == "eventwriter_process_open_fds"
    }


def test_daemon_without_slots_and_web_child_is_exposed() -> None:
    """A snapshot without slots and web child can be exposed."""
    assert 1 == samples(made({}))[("eventwriter_status", (("status", "degraded"),))]


def test_label_values_are_escaped() -> None:
    """Quotes and line breaks in a label value are escaped."""
    snapshot = made({"A/0": heartbeat(dead_letters_by_reason={'x"} 1\nevil 2': 5})})

    assert (
        5
        == samples(snapshot)[
            ("eventwriter_dead_letters_total", (("partition", "0"), ("reason", 'x"} 1\nevil 2'), ("stream", "A")))
        ]
    )


def test_accept_header_selects_openmetrics() -> None:
    """A client that accepts OpenMetrics gets that format."""
    body, media_type = text(Exposition(SNAPSHOT, 0.5), "application/openmetrics-text; version=1.0.0")

    assert media_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_promtool_accepts_the_text() -> None:
    """Prometheus's linter reports no problem in names, kinds and help texts."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")

    done = subprocess.run([promtool, "check", "metrics"], input=exposed(), capture_output=True, text=True, check=False)

    assert (0, "") == (done.returncode, done.stdout + done.stderr)


def test_closed_label_sets_are_exported_at_zero() -> None:
    """Each reason, stage and trigger has a sample before it first occurs, so that the first increase is visible."""
    labels = NETFLOW

    assert 0 == value("eventwriter_dead_letters_total", **labels, reason="crash_loop")
    assert 0 == value("eventwriter_batch_messages_count", **labels, trigger="quarantine")
    assert 0 == value("eventwriter_worker_state", **labels, state="paused")


def test_slot_info_names_stream_durable_kind_and_tables() -> None:
    """The info metric has the names by which other exporters know a slot."""
    names = {"jetstream_stream": "events", "durable": "eventwriter-telemetry", "kind": "telemetry"}

    assert 1 == value("eventwriter_slot_info", **NETFLOW, tables="timeseries_metrics", **names)

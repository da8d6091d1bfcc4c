"""Hypothesis strategies for payloads of every kind with arbitrary values in known fields."""

import json
from collections.abc import Mapping
from typing import Any

from event_strategies import anything, events
from golden_rows import DATA
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import strategies as st
from log_strategies import records as log_records
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from eventwriter.formats.fields import names
from eventwriter.formats.flow.flow_pb2 import FlowMessage
from eventwriter.formats.otlp import metrics as otlp_metrics
from eventwriter.formats.otlp import traces
from eventwriter.kinds.registry import KINDS
from eventwriter.tables.generic.values import COLUMN_TYPES, ELEMENT_OIDS
from eventwriter.tables.table import GeneratedTables, RealColumn, Table

Payloads = st.SearchStrategy[bytes]
Fields = st.SearchStrategy[dict[str, Any]]

TELEMETRY_KEYS = (
    "timestamp", "gateway_id", "pollerId", "agent_id", "metric_name", "name", "type", "metricType", "device_id",
    "value", "unit", "tags", "partition", "scale", "isDelta", "target_device_ip", "if_index", "metadata", "community",
    "zzz",
)  # fmt: skip
SWEEP_KEYS = (
    "host_ip", "hostIp", "ip", "gateway_id", "pollerId", "agent_id", "partition", "network_cidr", "hostname", "mac",
    "icmp_available", "icmpResponseTimeNs", "icmp_packet_loss", "tcp_ports_scanned", "tcp_ports_open",
    "port_scan_results", "last_sweep_time", "first_seen", "metadata", "community", "zzz",
)  # fmt: skip
FLOW_KEYS = (
    "timestamp", "gateway_id", "agentId", "device_id", "flow_direction", "src_addr", "dstAddr", "src_port",
    "destinationPort", "protocol", "packets", "bytes", "sampler_address", "input_snmp", "outputSnmp", "start_time",
    "time_flow_start_ns", "time_flow_end_ns", "src_as", "tcp_flags", "bytes_in", "packets_out", "src_mac", "as_path",
    "bgp_communities", "protocol_name", "flow_source", "partition", "community", "zzz",
)  # fmt: skip
OCSF_FLOW_KEYS = (
    "id", "time", "class_uid", "type_uid", "activity_id", "severity_id", "severity", "message", "status_id",
    "metadata", "observables", "src_endpoint", "dst_endpoint", "connection_info", "traffic", "duration", "device",
    "actor", "unmapped", "raw_data", "start_time", "end_time", "gateway_id", "partition", "community", "zzz",
)  # fmt: skip
OTLP_KEYS = (  # noqa: SIM905
    "resourceSpans resourceMetrics resourceLogs resource scope attributes key value stringValue intValue doubleValue"
    " boolValue arrayValue kvlistValue values bytesValue scopeSpans spans traceId spanId parentSpanId kind status code"
    " message events links startTimeUnixNano endTimeUnixNano scopeMetrics metrics gauge sum histogram summary"
    " exponentialHistogram dataPoints timeUnixNano asInt asDouble flags count min max bucketCounts explicitBounds"
    " positive negative offset quantileValues quantile isMonotonic aggregationTemporality name unit version scopeLogs"
    " logRecords severityNumber severityText body"
).split()
_PARTS = {
    "otel_metrics": ("resourceMetrics", "scopeMetrics", "metrics"),
    "otel_traces": ("resourceSpans", "scopeSpans", "spans"),
    "logs": ("resourceLogs", "scopeLogs", "logRecords"),
}
COLUMN_TYPES = [*COLUMN_TYPES, *(f"{element}[]" for element in ELEMENT_OIDS)]


def as_json(values: st.SearchStrategy[Any]) -> Payloads:
    """Encode values as JSON; lone surrogates, NaN and infinities appear as Python writes them."""
    return values.map(lambda value: json.dumps(value).encode())


def fields(keys: tuple[str, ...]) -> Fields:
    """Return objects with arbitrary values under some of the keys."""
    return st.dictionaries(st.sampled_from(keys), anything, max_size=8)


def with_required(
    required: dict[str, Any], some: st.SearchStrategy[dict[str, Any]]
) -> st.SearchStrategy[dict[str, Any]]:
    """Return objects with and without the required fields; other values may override them."""
    return st.builds(lambda given: {**required, **given}, some) | some


_endpoints = st.dictionaries(st.sampled_from(["ip", "port", "mac", "autonomous_system", "zzz"]), anything, max_size=3)
flows = st.one_of(
    with_required({"src_addr": "10.0.0.1"}, fields(FLOW_KEYS)),
    st.builds(
        lambda some, end: {"src_endpoint": {"ip": "10.0.0.1"}, **some, "dst_endpoint": end},
        fields(OCSF_FLOW_KEYS), _endpoints,
    ),
    with_required({"class_uid": 4001}, fields(OCSF_FLOW_KEYS)),
)  # fmt: skip

_VALUES: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: st.integers(0, 2**64 - 1),
    FieldDescriptor.TYPE_ENUM: st.integers(0, 9),
    FieldDescriptor.TYPE_STRING: st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    FieldDescriptor.TYPE_BYTES: st.sampled_from([b"\x0a\0\0\1", bytes(16), b"\x20" * 16]) | st.binary(max_size=17),
}
flow_messages = st.fixed_dictionaries(
    {},
    optional={
        f.name: st.lists(_VALUES[f.type], max_size=3) if f.is_repeated else _VALUES[f.type]
        for f in FlowMessage.DESCRIPTOR.fields
    },
).map(lambda values: FlowMessage(**values).SerializeToString())


def _spans() -> bytes:
    export = ExportTraceServiceRequest()
    group = export.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "x\0"
    span = group.scope_spans.add().spans.add(
        trace_id=b"\1" * 16, span_id=b"\2" * 8, name="a\0", start_time_unix_nano=2**64 - 1
    )
    span.attributes.add(key="\0").value.array_value.values.add().bytes_value = b"\0"
    span.events.add(name="e\0").attributes.add(key="k").value.double_value = float("nan")
    return export.SerializeToString()


def _metrics() -> bytes:
    export = ExportMetricsServiceRequest()
    metric = export.resource_metrics.add().scope_metrics.add().metrics.add(name="m\0", unit="s")
    point = metric.exponential_histogram.data_points.add(count=2**64 - 1, sum=float("inf"))
    point.positive.bucket_counts.append(2**64 - 1)
    point.attributes.add(key="http.method").value.string_value = "\0"
    return export.SerializeToString()


EXPORTS = {
    "otel_traces": _spans(),
    "otel_metrics": _metrics(),
    "logs": (DATA / "logs_otlp_protobuf" / "single.bin").read_bytes(),
}
"""A protobuf export of each OTLP kind, with U+0000 and numbers at the ends of their ranges."""


def damaged(payload: bytes) -> Payloads:
    """Return the payload unchanged, truncated, or with bytes changed, inserted or removed."""
    at = st.integers(0, len(payload))
    return st.just(payload) | st.builds(
        lambda start, inserted, removed: payload[:start] + inserted + payload[start + removed :],
        at, st.binary(max_size=4), at | st.integers(0, 4),
    )  # fmt: skip


_otlp_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from(["1705315800000000000", "NaN", '{"a":1}', "a\0b", "\ud800", {"stringValue": "x"}]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(OTLP_KEYS), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def otlp(kind: str) -> Payloads:
    """Return JSON exports with arbitrary parts, and damaged protobuf exports."""
    outer, middle, leaf = _PARTS[kind]
    leaves = st.lists(st.dictionaries(st.sampled_from(OTLP_KEYS), _otlp_value, max_size=6) | _otlp_value, max_size=3)
    whole = st.builds(
        lambda resource, scope, some: {outer: [{"resource": resource, middle: [{"scope": scope, leaf: some}]}]},
        st.none() | _otlp_value, st.none() | _otlp_value, leaves,
    )  # fmt: skip
    return as_json(whole | st.builds(lambda inner: {outer: inner}, _otlp_value)) | damaged(EXPORTS[kind])


def _flat(known: tuple[str, ...]) -> Payloads:
    keys = [key for field in known for key in names(field)]
    return as_json(st.dictionaries(st.sampled_from([*keys, "name"]), anything, min_size=1, max_size=10))


MESSAGES: Mapping[str, Payloads] = {
    "telemetry": as_json(with_required({"value": 1.5}, fields(TELEMETRY_KEYS))),
    "events": as_json(st.lists(events, max_size=2) | events),
    "sweep": as_json(with_required({"ip": "10.0.0.1"}, fields(SWEEP_KEYS))),
    "netflow": as_json(flows) | flow_messages,
    "otel_metrics": _flat(otlp_metrics.FIELDS) | otlp("otel_metrics"),
    "otel_traces": _flat(traces.FIELDS) | otlp("otel_traces"),
    "logs": as_json(log_records) | otlp("logs"),
    "json": as_json(with_required({"text": "x"}, fields((*COLUMN_TYPES, "made_at", "counted", "community", "zzz")))),
}
"""Kind → payloads of the shapes that it decodes."""


def table_of_every_type() -> GeneratedTables:
    """Return the definitions that kind `json` generates for a table with a column of every type."""
    columns = [
        RealColumn(name, name, n % 7 == 0, False, False, ("ok", "bad") if name == "enum" else ())
        for n, name in enumerate(COLUMN_TYPES)
    ]
    make = KINDS["json"].any_table
    assert make is not None
    return make("things", [*columns, RealColumn("rest", "jsonb", False, False, False)], {}, {"rest": "rest"})


def definitions(kind: str) -> list[tuple[str, Table]]:
    """Return all definitions that a kind can fill, including the variants chosen by a column of the real table."""
    if KINDS[kind].any_table:
        return [(table.name, table) for table in table_of_every_type().tables]
    return [
        pair
        for table in (*KINDS[kind].tables, *KINDS[kind].also)
        for pair in [(table.name, table), *((f"{table.name} with {mark}", t) for mark, t in table.variants.items())]
    ]

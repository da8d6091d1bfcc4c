"""Whatever a flow or a sweep holds, it becomes rows of the right types, or poison."""

import json
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st
from rows_in_tables import rows_in, shapes

from eventwriter.errors import Poison
from eventwriter.formats.flow_pb2 import FlowMessage
from eventwriter.tables.table import Row, Table

PYTHON: dict[str, Any] = {
    "text": str, "int4": int, "int8": int, "float8": float, "bool": bool, "timestamptz": int,
    "uuid": bytes, "jsonb": bytes, "int4[]": bytes, "text[]": bytes,
}  # fmt: skip
LIMITS = {"int4": 2**31, "int8": 2**63}

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
json_text = st.sampled_from(['{"community":"s3cret"}', "[1", "[22,23]", '{"a":{"Community":"s3cret"}}', "2024-01-01"])
anything = st.recursive(
    scalars | json_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
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
OCSF_KEYS = (
    "id", "time", "class_uid", "type_uid", "activity_id", "severity_id", "severity", "message", "status_id",
    "metadata", "observables", "src_endpoint", "dst_endpoint", "connection_info", "traffic", "duration", "device",
    "actor", "unmapped", "raw_data", "start_time", "end_time", "gateway_id", "partition", "community", "zzz",
)  # fmt: skip
endpoints = st.dictionaries(st.sampled_from(["ip", "port", "mac", "autonomous_system", "zzz"]), anything, max_size=3)


def fields(keys: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(keys), anything, max_size=8)


sweeps = st.builds(lambda some: {"ip": "10.0.0.1", **some}, fields(SWEEP_KEYS)) | fields(SWEEP_KEYS)
flows = st.one_of(
    st.builds(lambda some: {"src_addr": "10.0.0.1", **some}, fields(FLOW_KEYS)),
    fields(FLOW_KEYS),
    st.builds(
        lambda some, end: {"src_endpoint": {"ip": "10.0.0.1"}, **some, "dst_endpoint": end},
        fields(OCSF_KEYS),
        endpoints,
    ),
    st.builds(lambda some: {"class_uid": 4001, **some}, fields(OCSF_KEYS)),
)

_NUMBERS = {
    FieldDescriptor.TYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: st.integers(0, 2**64 - 1),
}
_VALUES: dict[int, st.SearchStrategy[Any]] = {
    **_NUMBERS,
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
)


def outcome(kind: str, table: Table, payload: bytes) -> list[Row] | str:
    """Return the rows, or the reason of the poison."""
    try:
        return rows_in(table, kind, payload, "x.y")
    except Poison as poison:
        return poison.reason


def check(table: Table, first: list[Row] | str, second: list[Row] | str) -> None:
    """Assert what is true of every outcome."""
    assert repr(first) == repr(second)
    assert "s3cret" not in repr(first)
    for row in first if isinstance(first, list) else ():
        for column, value in zip(table.columns, row, strict=True):
            assert value is None or type(value) is PYTHON[column.type]
            assert value is not None or not column.not_null
            if value is not None and column.type in LIMITS:
                assert -LIMITS[column.type] <= value < LIMITS[column.type]
            if column.type == "text" and value is not None:
                assert "\0" not in value.encode().decode()


@pytest.mark.parametrize("table", [t for _, t in shapes("sweep")], ids=[name for name, _ in shapes("sweep")])
@settings(deadline=None, max_examples=150)
@given(record=sweeps)
def test_any_sweep_makes_a_row_or_poison(table: Table, record: dict[str, Any]) -> None:
    """Whatever a sweep's fields hold, the outcome is rows of the documented types, or poison; always the same."""
    payload = json.dumps(record).encode()

    check(table, outcome("sweep", table, payload), outcome("sweep", table, payload))


@pytest.mark.parametrize("table", [t for _, t in shapes("netflow")], ids=[name for name, _ in shapes("netflow")])
@settings(deadline=None, max_examples=150)
@given(record=flows)
def test_any_flow_makes_a_row_or_poison(table: Table, record: dict[str, Any]) -> None:
    """Whatever a flow's fields hold, in either JSON shape, the outcome is rows, or poison; always the same."""
    payload = json.dumps(record).encode()

    check(table, outcome("netflow", table, payload), outcome("netflow", table, payload))


@pytest.mark.parametrize("table", [t for _, t in shapes("netflow")], ids=[name for name, _ in shapes("netflow")])
@settings(deadline=None, max_examples=100)
@given(values=flow_messages)
def test_any_flow_message_makes_a_row_or_poison(table: Table, values: dict[str, Any]) -> None:
    """Whatever a FlowMessage's fields hold, the outcome is rows, or poison; always the same."""
    payload = FlowMessage(**values).SerializeToString()

    check(table, outcome("netflow", table, payload), outcome("netflow", table, payload))


@settings(deadline=None, max_examples=500)
@given(payload=st.binary(max_size=60))
def test_any_bytes_make_a_row_or_poison(payload: bytes) -> None:
    """Bytes of any kind become rows or poison, never another error."""
    table = next(table for _, table in shapes("netflow"))

    check(table, outcome("netflow", table, payload), outcome("netflow", table, payload))

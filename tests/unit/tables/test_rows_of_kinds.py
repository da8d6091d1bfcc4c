"""Payloads and the rows that they become."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from eventwriter.errors import Poison
from eventwriter.kinds.registry import KINDS
from eventwriter.model import Adjustments, Message, Origin
from eventwriter.tables.ids import id_generator
from eventwriter.tables.table import Build, Table

DATA = Path(__file__).parents[2] / "data"
ORIGIN = Origin("events", 1_700_000_000_000_000_000, 0)
ALL = [(kind, table) for kind in KINDS.values() for table in (*kind.tables, *kind.also)]
JAN_2024 = 757_382_400_000_000


def message(payload: bytes) -> Message:
    return Message("", "telemetry.metrics", payload, None, 7, 7, 1, 1_704_067_200_000_000_000)


def row_of(table: Table, payload: bytes, kind: str) -> dict[str, Any]:
    build = Build(ORIGIN, Adjustments(), frozenset(c.name for c in table.columns), redact=frozenset({"community"}))
    delivery = message(payload)
    row = table.builder(build)(KINDS[kind].decode(delivery)[0], delivery, 0)
    assert row is not None
    return dict(zip((c.name for c in table.columns), row, strict=True))


def telemetry(name: str) -> dict[str, Any]:
    return row_of(KINDS["telemetry"].tables[0], (DATA / "telemetry" / name).read_bytes(), "telemetry")


def test_documented_telemetry() -> None:
    """The documented sample becomes the documented row, its series key that of ServiceRadar's own function."""
    row = telemetry("snake_case.json")

    assert ("gateway-1", "cpu_usage", "gauge", "device-1", 45.5, "percent", False) == tuple(
        row[k] for k in ("gateway_id", "metric_name", "metric_type", "device_id", "value", "unit", "is_delta")
    )
    assert (JAN_2024, b'\x01{"host":"server1"}') == (row["timestamp"], row["tags"])
    assert "0b91dee3704b6c720960750743814f25" == row["series_key"]


def test_camel_case_and_text_values() -> None:
    """camelCase keys, numbers as text and JSON as text are the same thing."""
    row = telemetry("camel_case.json")

    assert (45.5, True, 3, "10.0.0.1", b'\x01{"host":"server1"}') == tuple(
        row[k] for k in ("value", "is_delta", "if_index", "target_device_ip", "tags")
    )


def test_go_model() -> None:
    """The Go struct's own JSON (name, type, values as text) is read."""
    row = telemetry("go_model.json")

    assert ("icmp_response_time_ns", "icmp", 12345678.0, 0, b'\x01{"packet_loss":0}', JAN_2024 + 123456) == tuple(
        row[k] for k in ("metric_name", "metric_type", "value", "if_index", "metadata", "timestamp")
    )


def test_nul_in_a_tag_is_replaced() -> None:
    """U+0000, which jsonb refuses, becomes U+FFFD."""
    assert '\x01{"a":"x\ufffdy"}'.encode() == telemetry("nul_in_tag.json")["tags"]


@pytest.mark.parametrize(
    ("name", "reason"), [("value_non_numeric.json", "bad_value"), ("empty_object.json", "missing_field")]
)
def test_sample_without_a_measurement_is_poison(name: str, reason: str) -> None:
    """A value that is no number, or absent, is a dead letter: it is the measurement itself."""
    with pytest.raises(Poison) as caught:
        telemetry(name)

    assert reason == caught.value.reason


def test_documented_flow() -> None:
    """The documented flow becomes OCSF network activity, with nothing left over."""
    payload = (DATA / "netflow_json" / "full_snake.json").read_bytes()
    row = row_of(KINDS["netflow"].tables[0], payload, "netflow")

    assert "TCP traffic: 192.168.1.100:45678 -> 10.0.0.1:443 (100 pkts, 150.0 KB)" == row["message"]
    assert (400106, 6, "Traffic", "TCP", 6, "Inbound", 1, b"\x01{}") == tuple(
        row[k]
        for k in ("type_uid", "activity_id", "activity_name", "protocol_name", "protocol_num", "direction", "direction_id", "unmapped")  # noqa: E501
    )  # fmt: skip
    assert {"ip": "192.168.1.100", "port": 45678} == json.loads(row["src_endpoint"][1:])
    assert "telemetry.metrics" == json.loads(row["metadata"][1:])["correlation_uid"]


def test_flow_with_long_names() -> None:
    """The long aliases are read; an unknown protocol keeps its number."""
    payload = (DATA / "netflow_json" / "long_names.json").read_bytes()
    row = row_of(KINDS["netflow"].tables[0], payload, "netflow")

    assert "Unknown traffic: 1.2.3.4:10 -> 5.6.7.8:20 (3 pkts, 2.5 GB)" == row["message"]
    assert 200 == row["protocol_num"]


def test_flow_without_addresses_is_poison() -> None:
    """A flow that names no address at all is a dead letter."""
    with pytest.raises(Poison, match="missing_field"):
        row_of(KINDS["netflow"].tables[0], b"{}", "netflow")


@pytest.mark.parametrize("table", [table for kind, table in ALL if kind.name == "netflow"], ids=lambda t: t.name)
def test_community_is_never_stored(table: Table) -> None:
    """An SNMP community, however deep, is in no column."""
    payload = (
        b'{"src_addr":"1.2.3.4","community":"s3cret","x":{"Community":"s3cret"},"y":"{\\"community\\":\\"s3cret\\"}"}'
    )

    assert "s3cret" not in repr(row_of(table, payload, "netflow"))


def test_ids_are_version_8_and_ascend() -> None:
    """Ids of one stream are UUIDv8, in the order of its sequences, and differ between lives of a stream."""
    make, other = id_generator(ORIGIN), id_generator(ORIGIN._replace(epoch=1))
    made = [make(seq, index) for seq in (1, 2, 10**12) for index in (0, 1, 4095)]

    assert sorted(made) == made
    assert {8} == {UUID(bytes=i).version for i in [*made, make(1, 5000)]}
    assert make(1, 0) != other(1, 0)

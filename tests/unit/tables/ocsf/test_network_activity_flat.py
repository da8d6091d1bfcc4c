"""Tests of the flat columns."""

import json
from typing import Any

import pytest
from table_rows import filled, rows_in

from eventwriter.tables.ocsf.network_activity import OCSF_NETWORK_ACTIVITY
from eventwriter.tables.ocsf.network_activity_flat import FlatFields, bare_mac, direction_of

FLAT = OCSF_NETWORK_ACTIVITY.variants["ocsf_payload"]


def row_of(**record: Any) -> dict[str, Any]:
    payload = json.dumps({"src_addr": "10.0.0.1", **record}).encode()
    (row,) = rows_in(FLAT, "netflow", payload, "flows.x")
    return filled(FLAT, row)


@pytest.mark.parametrize(
    ("fields", "direction"),
    [
        (FlatFields(bytes_in=1, bytes_out=1, direction="egress"), ("bidirectional", "heuristic")),
        (FlatFields(bytes_in=1, bytes_out=0), ("ingress", "heuristic")),
        (FlatFields(bytes_out=1), ("egress", "heuristic")),
        (FlatFields(direction="ingress"), ("ingress", "exporter")),
        (FlatFields(), ("unknown", "unknown")),
    ],
)
def test_direction_of_counters_or_exporter(fields: FlatFields, direction: tuple[str, str]) -> None:
    """The direction follows from the counters of both directions, else from the exporter."""
    assert direction == direction_of(fields)


@pytest.mark.parametrize(
    ("given", "bare"),
    [
        ("00:11:22:aa:bb:cc", "001122AABBCC"),
        ("0011.22aa.bbcc", "001122AABBCC"),
        ("00-11-22-AA-BB-CC", "001122AABBCC"),
        (281474976710656, "281474976710656"),
        ("router", "router"),
        ("", None),
        (None, None),
    ],
)
def test_mac_without_separators(given: Any, bare: str | None) -> None:
    """A MAC address is stored as twelve digits in upper case; other text is unchanged."""
    assert bare == bare_mac(given)


def test_zero_is_null_except_for_counters() -> None:
    """Zero in ports, protocol, AS numbers and flags means absence; the counters of both directions are 0 then."""
    row = row_of(src_port=0, dst_port=0, protocol=0, src_as=0, tcp_flags=0, bytes_in=0)

    assert set() == set(row) & {"src_endpoint_port", "dst_endpoint_port", "protocol_num", "src_as_number", "tcp_flags"}
    assert [0, 0, 0, 0] == [row[k] for k in ("bytes_in", "bytes_out", "packets_in", "packets_out")]


def test_flags_have_labels_over_tcp_only() -> None:
    """Only the flags of TCP have names."""
    assert ["ACK", "SYN"] == row_of(protocol=6, tcp_flags=18)["tcp_flags_labels"]
    assert (18, "unknown", None) == tuple(
        row_of(protocol=17, tcp_flags=18).get(k) for k in ("tcp_flags", "tcp_flags_source", "tcp_flags_labels")
    )


def test_number_beyond_the_column_is_exact_in_the_payload() -> None:
    """A number beyond the range of its column is clamped there, and exact in the payload."""
    row = row_of(src_as=4_200_000_001)

    assert (2_147_483_647, 4_200_000_001) == (row["src_as_number"], row["ocsf_payload"]["unmapped"]["src_as"])


def test_ocsf_object_is_the_payload() -> None:
    """A flow that is an OCSF object is stored as the payload, without secrets."""
    record = {"class_uid": 4001, "dst_endpoint": {"ip": "10.0.0.2"}, "partition": "lab", "x": {"y": None}}
    payload = json.dumps({**record, "community": "s3cret"}).encode()

    row = filled(FLAT, rows_in(FLAT, "netflow", payload, "flows.x")[0])

    assert (record, "10.0.0.2", "lab") == (row["ocsf_payload"], row["dst_endpoint_ip"], row["partition"])

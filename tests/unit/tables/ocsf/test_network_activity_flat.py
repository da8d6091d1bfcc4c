"""The flat table's own columns."""

import json
from typing import Any

import pytest
from rows_in_tables import filled, rows_in

from eventwriter.tables.ocsf.flow_facts import bare_mac
from eventwriter.tables.ocsf.network_activity import OCSF_NETWORK_ACTIVITY
from eventwriter.tables.ocsf.network_activity_flat import Facts, direction_of

FLAT = OCSF_NETWORK_ACTIVITY.variants["ocsf_payload"]


def row_of(**record: Any) -> dict[str, Any]:
    payload = json.dumps({"src_addr": "10.0.0.1", **record}).encode()
    (row,) = rows_in(FLAT, "netflow", payload, "flows.x")
    return filled(FLAT, row)


@pytest.mark.parametrize(
    ("facts", "direction"),
    [
        (Facts(bytes_in=1, bytes_out=1, direction="egress"), ("bidirectional", "heuristic")),
        (Facts(bytes_in=1, bytes_out=0), ("ingress", "heuristic")),
        (Facts(bytes_out=1), ("egress", "heuristic")),
        (Facts(direction="ingress"), ("ingress", "exporter")),
        (Facts(), ("unknown", "unknown")),
    ],
)
def test_direction_of_counters_or_exporter(facts: Facts, direction: tuple[str, str]) -> None:
    """Counters both ways say the direction; without them the exporter's word counts."""
    assert direction == direction_of(facts)


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
def test_mac_without_its_marks(given: Any, bare: str | None) -> None:
    """A MAC address is twelve digits in upper case; what is none stays as it is."""
    assert bare == bare_mac(given)


def test_zero_is_null_but_for_counters() -> None:
    """Zero in ports, protocol, AS numbers and flags is absence; the counters both ways are 0 then."""
    row = row_of(src_port=0, dst_port=0, protocol=0, src_as=0, tcp_flags=0, bytes_in=0)

    assert set() == set(row) & {"src_endpoint_port", "dst_endpoint_port", "protocol_num", "src_as_number", "tcp_flags"}
    assert [0, 0, 0, 0] == [row[k] for k in ("bytes_in", "bytes_out", "packets_in", "packets_out")]


def test_flags_have_labels_over_tcp_only() -> None:
    """Flags of another protocol are kept without names."""
    assert ["ACK", "SYN"] == row_of(protocol=6, tcp_flags=18)["tcp_flags_labels"]
    assert (18, "unknown", None) == tuple(
        row_of(protocol=17, tcp_flags=18).get(k) for k in ("tcp_flags", "tcp_flags_source", "tcp_flags_labels")
    )


def test_as_number_of_four_bytes_is_whole_in_the_payload() -> None:
    """A number beyond the column's range is cut there, and whole in the payload."""
    row = row_of(src_as=4_200_000_001)

    assert (2_147_483_647, 4_200_000_001) == (row["src_as_number"], row["ocsf_payload"]["unmapped"]["src_as"])


def test_ocsf_object_is_the_payload() -> None:
    """A flow that came as an OCSF object is the payload as it came, without secrets."""
    record = {"class_uid": 4001, "dst_endpoint": {"ip": "10.0.0.2"}, "partition": "lab", "x": {"y": None}}
    payload = json.dumps({**record, "community": "s3cret"}).encode()

    row = filled(FLAT, rows_in(FLAT, "netflow", payload, "flows.x")[0])

    assert (record, "10.0.0.2", "lab") == (row["ocsf_payload"], row["dst_endpoint_ip"], row["partition"])

"""Tests of the fields of a flow."""

from typing import Any

import pytest
from golden_rows import STORED_NS, delivery

from eventwriter.errors import Poison
from eventwriter.formats.fields import instant_us
from eventwriter.model import Adjustments
from eventwriter.tables.netflow.flow import Flow, address_with_port, duration, flow
from eventwriter.tables.values import POSTGRES_EPOCH_US

T = 1_705_363_200_000_000_000
MESSAGE = delivery(b"", "netflow.x")


def read(adjustments: Adjustments | None = None, **record: Any) -> Flow:
    return flow({"src_addr": "1.2.3.4", **record}, MESSAGE, adjustments or Adjustments())


@pytest.mark.parametrize(
    ("record", "ns", "defaulted", "unreadable"),
    [
        ({"timestamp": T, "time_flow_end_ns": T + 5_000}, T, 0, 0),
        ({"time_flow_end_ns": T + 5_000, "time_received_ns": T + 9_000, "time_flow_start_ns": T}, T + 5_000, 0, 0),
        ({"time_received_ns": T + 9_000, "time_flow_start_ns": T}, T + 9_000, 0, 0),
        ({"time_flow_start_ns": T}, T, 0, 0),
        ({"time_flow_end_ns": 10**20, "time_received_ns": T}, T, 0, 0),
        ({"endTime": "2024-01-16T00:00:00.5Z"}, T + 500_000_000, 0, 0),
        ({"timestamp": "junk", "time_flow_end_ns": T}, T, 0, 1),
        ({"timestamp": "junk"}, STORED_NS, 1, 1),
        ({"TimeFlowEnd": T // 10**9, "TimeFlowEndMs": T // 10**6 + 5}, T + 5_000_000, 0, 0),
        ({"timestamp_end": "2024-01-16 00:00:00.5", "stamp_inserted": "2024-01-16 00:01:00"}, T + 500_000_000, 0, 0),
        ({"first": "2024-01-15T23:59:59", "last": "2024-01-16T00:00:00"}, T, 0, 0),
        ({"t_first": "2024-01-15T23:59:59", "t_last": "2024-01-16T00:00:00"}, T, 0, 0),
        ({}, STORED_NS, 1, 0),
    ],
)
def test_time_of_a_flow(record: dict[str, Any], ns: int, defaulted: int, unreadable: int) -> None:
    """The time is the timestamp, else the end, the receipt or the start, else the JetStream timestamp."""
    adjustments = Adjustments()

    time = read(adjustments, **record).time

    assert ns // 1000 - POSTGRES_EPOCH_US == time
    assert (defaulted, unreadable) == (adjustments.timestamp_defaulted, adjustments.nulled_by_column["timestamp"])


@pytest.mark.parametrize(
    ("start", "end", "time", "result"),
    [
        (T, T + 2_000_000, T + 2_000_000, (2, True)),
        (T, T + 2_000_000, T, (2, False)),
        (T + 1, T + 2_000_000, T + 2_000_000, (2, False)),
        (T, T + 2_500_000, T + 2_500_000, (2, False)),
        (T + 2_000_000, T, T, (None, False)),
        (None, T, T, (None, False)),
        (1_705_363_200_000, 1_705_363_200_750, T + 750_000_000, (750, True)),
        ("2024-01-16T00:00:00Z", "2024-01-16T00:00:01Z", T + 1_000_000_000, (1000, False)),
    ],
)
def test_duration_of_a_flow(start: Any, end: Any, time: int, result: tuple[int | None, bool]) -> None:
    """The duration needs start and end in order; it is exact if time and duration give both to the microsecond."""
    assert result == duration({"start_time": start, "end_time": end}, time // 1000 - POSTGRES_EPOCH_US)


@pytest.mark.parametrize(
    ("given", "number"),
    [
        (6, 6), ("17", 17), ("TCP", 6), (" icmpv6 ", 58), ("IPv6-ICMP", 58), ("IGMP", 2), ("OSPFIGP", 89),
        ("vrrp", 112),
        ("UDPLite", 136), ("nonsense", None), (None, None), ([], None), (True, None),
    ],
)  # fmt: skip
def test_protocol_by_number_or_name(given: Any, number: int | None) -> None:
    """A protocol is given by number or by any name that IANA has registered."""
    assert number == read(protocol=given).protocol


@pytest.mark.parametrize(
    ("field", "value"), [("protocol", "nonsense"), ("src_port", "https"), ("packets", "1.5K"), ("octets", True)]
)
def test_unreadable_value_remains(field: str, value: Any) -> None:
    """A value that its column cannot hold is counted by column and remains."""
    adjustments = Adjustments()

    one = read(adjustments, **{field: value})

    assert (None, {field: value}) == (getattr(one, field), one.rest)
    assert {field: 1} == adjustments.nulled_by_column


def test_integers_are_not_limited() -> None:
    """A flow has its integers unchanged; tables limit them to their columns."""
    one = read(input_snmp=4_294_967_295, bytes="1e30", octets=2**64 - 1)

    assert (4_294_967_295, 2**64 - 1, {"bytes": "1e30"}) == (one.input_snmp, one.octets, one.rest)


@pytest.mark.parametrize(
    "record",
    [
        {"src_ip": "10.0.0.1", "dst_ip": "10.0.0.2", "src_port": 5, "dst_port": 53, "proto": "UDP", "in_if": 3,
         "out_if": 4, "bytes": 100, "packets": 2},
        {"SrcAddr": "10.0.0.1", "DstAddr": "10.0.0.2", "SrcPort": 5, "DstPort": 53, "Proto": 17, "InIf": 3,
         "OutIf": 4, "Bytes": 100, "Packets": 2},
        {"ip_src": "10.0.0.1", "ip_dst": "10.0.0.2", "port_src": 5, "port_dst": 53, "ip_proto": "udp", "iface_in": 3,
         "iface_out": 4, "bytes": 100, "packets": 2},
        {"src4_addr": "10.0.0.1", "dst4_addr": "10.0.0.2", "src_port": 5, "dst_port": 53, "proto": 17,
         "input_snmp": 3, "output_snmp": 4, "in_bytes": 100, "in_packets": 2},
        {"sourceIPv4Address": "10.0.0.1", "destinationIPv4Address": "10.0.0.2", "sourceTransportPort": 5,
         "destinationTransportPort": 53, "protocolIdentifier": 17, "ingressInterface": 3, "egressInterface": 4,
         "octetDeltaCount": 100, "packetDeltaCount": 2},
    ],
    ids=["goflow2", "goflow", "pmacct", "nfdump", "ipfix"],
)  # fmt: skip
def test_names_of_other_programs(record: dict[str, Any]) -> None:
    """Flows with the names of other programs are read."""
    one = flow({"time_received_ns": T, **record}, MESSAGE, Adjustments())

    assert ("10.0.0.1", "10.0.0.2", 5, 53, 17, 2, 100) == one[4:11]
    assert (3, 4) == (one.input_snmp, one.output_snmp)
    assert {"time_received_ns": T} == one.rest


@pytest.mark.parametrize(
    ("record", "rest"),
    [
        ({"protocol": 1, "dst_port": 2048, "src_port": 0}, {"icmp_type": 8, "icmp_code": 0}),
        ({"protocol": 58, "dst_port": 34_560}, {"icmp_type": 135, "icmp_code": 0}),
        ({"protocol": 1, "dst_port": 771, "icmp_type": 3, "icmp_code": 3}, {"icmp_type": 3, "icmp_code": 3}),
        ({"protocol": 1, "dst_port": 0}, {"icmp_type": 0, "icmp_code": 0}),
        ({"protocol": 1, "dst_port": 2048, "icmp_type": "echo"}, {"icmp_type": "echo", "dst_port": 2048}),
        ({"protocol": 1, "dst_port": 2048, "icmp_code": []}, {"icmp_code": [], "dst_port": 2048}),
        ({"protocol": 1, "src_port": 7, "dst_port": 5, "icmp_type": 8}, {"icmp_type": 8, "src_port": 7, "dst_port": 5}),
        ({"protocol": 1}, {}),
    ],
)
def test_icmp_has_type_and_code_instead_of_ports(record: dict[str, Any], rest: dict[str, Any]) -> None:
    """The destination port of an ICMP flow is type × 256 + code; the flow has no ports."""
    one = read(**record)

    assert (None, None, rest) == (one.src_port, one.dst_port, one.rest)


@pytest.mark.parametrize(
    ("given", "direction", "rest"),
    [
        (0, "ingress", {}), (1, "egress", {}), ("0", "ingress", {}), ("Inbound", "Inbound", {}),
        (7, None, {"flow_direction": 7}),
    ],
)  # fmt: skip
def test_numeric_direction(given: Any, direction: str | None, rest: dict[str, Any]) -> None:
    """0 is ingress, 1 is egress, and another number remains a number."""
    one = read(flow_direction=given)

    assert (direction, rest) == (one.direction, one.rest)


@pytest.mark.parametrize("key", ["type", "Type"])
@pytest.mark.parametrize("given", ["NETFLOW_V9", 3])
def test_flow_source_has_one_name(given: Any, key: str) -> None:
    """The type of goflow2's JSON has the name and the value that it has in a FlowMessage."""
    assert {"flow_source": "NetFlow v9"} == read(**{key: given}).rest
    assert {key: "FLOW"} == read(**{key: "FLOW"}).rest


@pytest.mark.parametrize(
    "record", [{"etype": 2054}, {"src_mac": "00:00:5e:00:53:01"}, {"SrcAddr": "<nil>", "DstMac": "00:00:5e:00:53:01"}]
)
def test_layer_2_flow_needs_no_address(record: dict[str, Any]) -> None:
    """A flow without IP addresses is accepted if it has a MAC address or an EtherType."""
    one = flow(record, MESSAGE, Adjustments())

    assert (None, None) == (one.src_addr, one.dst_addr)


@pytest.mark.parametrize("record", [{}, {"src_addr": " ", "dst_addr": ""}, {"packets": 5}])
def test_record_without_any_address_is_poison(record: dict[str, Any]) -> None:
    """A record without IP address, MAC address and EtherType is not a flow."""
    with pytest.raises(Poison) as caught:
        flow(record, MESSAGE, Adjustments())

    assert "missing_field" == caught.value.reason


@pytest.mark.parametrize(
    ("address", "port", "text"),

       [
        ("192.0.2.1", 53, "192.0.2.1:53"), ("2001:db8::1", 53, "[2001:db8::1]:53"),
        ("2001:db8::1", None, "2001:db8::1"),
        (None, 53, ":53"), (None, None, ""),
    ],
)  # fmt: skip
def test_address_with_port(address: str | None, port: int | None, text: str) -> None:
    """An IPv6 address with a port is in brackets."""
    assert text == address_with_port(address, port)


def test_instant_used_here_is_midnight() -> None:
    """The constant of the cases above is the midnight that they assume."""
    assert T // 1000 == instant_us("2024-01-16T00:00:00Z")

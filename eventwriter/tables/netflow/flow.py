"""
A flow, read for all tables that store flows: from JSON, or from the record of a FlowMessage.

JSON flows have the names of ServiceRadar, goflow2 and its first version, pmacct, nfdump, nProbe or IPFIX.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from eventwriter.errors import Poison
from eventwriter.formats.fields import LATEST_US, find, instant_us, is_blank, json_value, names, whole
from eventwriter.formats.ip_names import protocol_number
from eventwriter.model import Adjustments, Message, Record
from eventwriter.tables.record_reader import RecordReader, filled
from eventwriter.tables.values import (
    NANOSECONDS_FROM,
    POSTGRES_EPOCH_US,
    instant_or_default,
    optional_instant,
    timestamp,
)

_TIMESTAMP = names("timestamp", "time", "@timestamp", "ts")
_GATEWAY, _AGENT, _DEVICE = names("gateway_id", "poller_id", "pollerId"), names("agent_id"), names("device_id")
_DIRECTION = names("flow_direction", "FlowDirection", "direction", "DIRECTION")
_SRC = names(
    "src_addr", "sourceAddress", "source_address", "src_ip", "srcIp", "ip_src", "SrcAddr", "src4_addr", "src6_addr",
    "sourceIPv4Address", "sourceIPv6Address", "IPV4_SRC_ADDR", "IPV6_SRC_ADDR",
)  # fmt: skip
_DST = names(
    "dst_addr", "destinationAddress", "destination_address", "dst_ip", "dstIp", "ip_dst", "DstAddr", "dst4_addr",
    "dst6_addr", "destinationIPv4Address", "destinationIPv6Address", "IPV4_DST_ADDR", "IPV6_DST_ADDR",
)  # fmt: skip
_SRC_PORT = names(
    "src_port", "sourcePort", "source_port", "port_src", "SrcPort", "sourceTransportPort", "L4_SRC_PORT"
)  # fmt: skip
_DST_PORT = names(
    "dst_port", "destinationPort", "destination_port", "port_dst", "DstPort", "destinationTransportPort", "L4_DST_PORT"
)  # fmt: skip
_PROTOCOL = (
    "protocol", "proto", *names("ip_proto"), *names("protocol_num"), "Proto", "protocolIdentifier", "PROTOCOL",
)  # fmt: skip
_PACKETS = ("packets", "in_packets", "Packets", "packetDeltaCount", "IN_PKTS")
_OCTETS = ("octets", "bytes", "in_bytes", "Bytes", "octetDeltaCount", "IN_BYTES")
_SAMPLER = names(
    "sampler_address", "SamplerAddress", *names("exporter_address"), "peer_ip_src", "ip4_router", "ip6_router",
    "exporterIPv4Address", "exporterIPv6Address",
)  # fmt: skip
_INPUT = names("input_snmp", *names("in_if"), "InIf", "iface_in", "ingressInterface", "INPUT_SNMP")
_OUTPUT = names("output_snmp", *names("out_if"), "OutIf", "iface_out", "egressInterface", "OUTPUT_SNMP")
START = names(
    "start_time", "flow_start", "flowStart", "time_flow_start_ns", "TimeFlowStartMs", "TimeFlowStart",
    "timestamp_start", "first", "t_first",
)  # fmt: skip
END = names(
    "end_time", "flow_end", "flowEnd", "time_flow_end_ns", "TimeFlowEndMs", "TimeFlowEnd", "timestamp_end", "last",
    "t_last",
)  # fmt: skip
RECEIVED = names("time_received_ns", "TimeReceived", "received", "t_received", "timestamp_arrival", "stamp_inserted")
_ICMP_TYPE, _ICMP_CODE = names("icmp_type", "IcmpType"), names("icmp_code", "IcmpCode")

_COLUMNS: tuple[tuple[str, Sequence[str]], ...] = (
    ("gateway_id", _GATEWAY), ("agent_id", _AGENT), ("device_id", _DEVICE), ("flow_direction", _DIRECTION),
    ("src_addr", _SRC), ("dst_addr", _DST), ("src_port", _SRC_PORT), ("dst_port", _DST_PORT),
    ("protocol", _PROTOCOL), ("packets", _PACKETS), ("octets", _OCTETS), ("sampler_address", _SAMPLER),
    ("input_snmp", _INPUT), ("output_snmp", _OUTPUT), ("timestamp", _TIMESTAMP),
)  # fmt: skip
_USUAL = frozenset(column for column, _ in _COLUMNS)
_UNUSUAL = frozenset(key for _, keys in _COLUMNS for key in keys) - _USUAL | {"type", "Type"}
"""Keys that need the search. All other keys have no column and remain."""

_ICMP, _ICMP_V6 = 1, 58
_ICMP_PROTOCOLS = (_ICMP, _ICMP_V6)

_NO_ADDRESS = frozenset({"", "<nil>", "invalid ip"})
"""What goflow2 writes for an address that the flow does not have, in lower case."""
_SUSPECT = frozenset(" \t<i")
"""First characters of blank text and of `_NO_ADDRESS`."""
_LAYER_2 = (
    *names("src_mac", "SrcMac", "mac_src", "in_src_mac"), *names("dst_mac", "DstMac", "mac_dst", "out_dst_mac"),
    *names("etype", "Etype", "EType", "ethertype", "ether_type"),
)  # fmt: skip
"""A flow with one of these keys needs no IP address."""

_SOURCES: dict[Any, str] = {
    1: "sFlow v5", 2: "NetFlow v5", 3: "NetFlow v9", 4: "IPFIX",
    "SFLOW_5": "sFlow v5", "NETFLOW_V5": "NetFlow v5", "NETFLOW_V9": "NetFlow v9", "IPFIX": "IPFIX",
}  # fmt: skip
"""Values of goflow2's `type` → `flow_source`, the name that a FlowMessage gives the same fact."""


class Flow(NamedTuple):
    """The fields of one flow. Integers are not limited to the range of any column."""

    gateway_id: str | None
    agent_id: str | None
    device_id: str | None
    direction: str | None
    src_addr: str | None
    dst_addr: str | None
    src_port: int | None
    dst_port: int | None
    protocol: int | None
    packets: int | None
    octets: int | None
    sampler_address: str | None
    input_snmp: int | None
    output_snmp: int | None
    rest: dict[str, Any]
    """Fields without a column, and values that could not be converted."""
    time: int
    """Microseconds since 2000 UTC."""


_new_flow: Callable[[type[Flow], tuple[Any, ...]], Flow] = tuple.__new__
"""Creates a Flow from a tuple in 0.1 µs; the constructor of the class takes 0.4 µs."""


def flow(record: Record, message: Message, adjustments: Adjustments) -> Flow:  # hot: one condition per field
    """
    Read a record.

    Raises:
        Poison: `missing_field`: the flow has neither an IP address nor a MAC address nor an EtherType.
    """
    # Hot: once per message. A flow with the usual names and types is read here, any other by `_search`.
    get = record.get
    others = [key for key in record if key not in _USUAL]
    src, dst, src_port, dst_port = get("src_addr"), get("dst_addr"), get("src_port"), get("dst_port")
    gateway, agent, device = get("gateway_id"), get("agent_id"), get("device_id")
    direction, sampler, protocol = get("flow_direction"), get("sampler_address"), get("protocol")
    packets, octets, input_snmp, output_snmp = get("packets"), get("octets"), get("input_snmp"), get("output_snmp")
    if (
        (others and not _UNUSUAL.isdisjoint(others))
        or (src is not None and (src.__class__ is not str or src[:1] in _SUSPECT))
        or (dst is not None and (dst.__class__ is not str or dst[:1] in _SUSPECT))
        or not (src or dst)
        or (gateway.__class__ is not str and gateway is not None)
        or (agent.__class__ is not str and agent is not None)
        or (device.__class__ is not str and device is not None)
        or not (direction is None or (direction.__class__ is str and not direction.isdigit()))
        or (sampler.__class__ is not str and sampler is not None)
        or (src_port.__class__ is not int and src_port is not None)
        or (dst_port.__class__ is not int and dst_port is not None)
        or (protocol.__class__ is not int and protocol is not None)
        or (packets.__class__ is not int and packets is not None)
        or (octets.__class__ is not int and octets is not None)
        or (input_snmp.__class__ is not int and input_snmp is not None)
        or (output_snmp.__class__ is not int and output_snmp is not None)
    ):
        return _search(record, message, adjustments)
    value = get("timestamp")
    if value.__class__ is int and 100_000_000_000 <= value < _LATEST_MS:
        time: int | None = value * 1000 - POSTGRES_EPOCH_US
    elif value.__class__ is int and NANOSECONDS_FROM <= value < _LATEST_NS:
        time = value // 1000 - POSTGRES_EPOCH_US
    else:
        time = _other_time(record, message, adjustments) if value is None else optional_instant(value)
        if time is None:
            return _search(record, message, adjustments)
    rest = {key: json_value(value) for key in others if (value := record[key]) is not None} if others else {}
    if protocol in _ICMP_PROTOCOLS:
        _read_icmp(rest, src_port, dst_port)
        src_port = dst_port = None
    return _new_flow(
        Flow,
        (
            gateway, agent, device, direction, src, dst, src_port, dst_port, protocol, packets, octets, sampler,
            input_snmp, output_snmp, rest, time,
        ),
    )  # fmt: skip


def _other_time(record: Record, message: Message, adjustments: Adjustments) -> int:
    """Return the first usable of end, receipt and start; else the message's JetStream timestamp, counted."""
    for keys in (END, RECEIVED, START):
        for key in keys:
            if (value := record.get(key)) is not None and (us := instant_us(value)) is not None:
                return us - POSTGRES_EPOCH_US
    return timestamp(None, message, adjustments)


def _search(record: Record, message: Message, adjustments: Adjustments) -> Flow:
    reader = RecordReader(record, adjustments)
    src, dst = reader.first(None, _SRC, _address), reader.first(None, _DST, _address)
    if not src and not dst and find(record, _LAYER_2) is None:
        raise Poison(
            "missing_field",
            "src_addr and dst_addr are missing or empty, and there is no MAC address and no etype: this is not a flow",
        )
    us = reader.instant_us("timestamp", _TIMESTAMP)
    protocol = reader.first("protocol", _PROTOCOL, protocol_number)
    src_port, dst_port = reader.first("src_port", _SRC_PORT, whole), reader.first("dst_port", _DST_PORT, whole)
    if protocol in _ICMP_PROTOCOLS:
        _read_icmp(reader.rest, src_port, dst_port)
        src_port = dst_port = None
    flow = Flow(
        gateway_id=reader.text(_GATEWAY),
        agent_id=reader.text(_AGENT),
        device_id=reader.text(_DEVICE),
        direction=reader.first(None, _DIRECTION, _direction),
        src_addr=src,
        dst_addr=dst,
        src_port=src_port,
        dst_port=dst_port,
        protocol=protocol,
        packets=reader.first("packets", _PACKETS, whole),
        octets=reader.first("octets", _OCTETS, whole),
        sampler_address=reader.first(None, _SAMPLER, _address),
        input_snmp=reader.first("input_snmp", _INPUT, whole),
        output_snmp=reader.first("output_snmp", _OUTPUT, whole),
        rest={},
        time=0,
    )
    rest = {key: value for key, value in reader.remaining().items() if not is_blank(value)}
    for key in ("type", "Type"):
        if "flow_source" not in rest and (source := _flow_source(rest.get(key))) is not None:
            rest["flow_source"] = source
            del rest[key]
    if us is None and any(record.get(key) is not None for keys in (END, RECEIVED, START) for key in keys):
        return flow._replace(rest=rest, time=_other_time(record, message, adjustments))
    return flow._replace(rest=rest, time=instant_or_default(us, message, adjustments))


def _flow_source(value: Any) -> str | None:
    return _SOURCES.get(value) if value.__class__ in (str, int) else None


def _address(value: Any) -> str | None:
    address = filled(value)
    return None if address is None or address.strip().lower() in _NO_ADDRESS else address


def _direction(value: Any) -> str | None:
    """Return a direction in words; 0 and 1 are ingress and egress, other numbers are unknown."""
    number = whole(value)
    if number is None:
        return filled(value)
    return {0: "ingress", 1: "egress"}.get(number)


def _read_icmp(rest: Record, src_port: int | None, dst_port: int | None) -> None:
    """
    Replace the ports of an ICMP flow, which has none, by type and code.

    NetFlow v5 and v9 have type × 256 + code in the destination port. A port that means something else remains.
    """
    given_type, given_code = find(rest, _ICMP_TYPE), find(rest, _ICMP_CODE)
    icmp_type, icmp_code = whole(given_type), whole(given_code)
    # A value that is no number stays as it is.
    unknown = icmp_type is None and given_type is None and (icmp_code is not None or given_code is None)
    if dst_port is not None and unknown and 0 <= dst_port <= 0xFFFF:
        rest["icmp_type"], rest["icmp_code"] = dst_port >> 8, dst_port & 0xFF
    elif dst_port and dst_port != (icmp_type or 0) * 256 + (icmp_code or 0):
        rest["dst_port"] = dst_port
    if src_port:
        rest["src_port"] = src_port


class Duration(NamedTuple):
    """
    How long a flow lasted.

    Attributes:
        ms: None unless start and end are given and in order.
        is_exact: The time of the row is the end, and together with the duration it gives the start exactly.
    """

    ms: int | None
    is_exact: bool


_LATEST_MS, _LATEST_NS = LATEST_US // 1000, LATEST_US * 1000
_NO_DURATION = Duration(None, False)
_START_AND_END = frozenset({*START, *END})


def duration(record: Record, time: int) -> Duration:
    """
    Return the duration of a flow.

    Args:
        time: The time of the row, in µs since 2000 UTC.
    """
    # Hot: once per FlowMessage, whose instants are converted without a call.
    first, last = record.get("time_flow_start_ns"), record.get("time_flow_end_ns")
    if first.__class__ is last.__class__ is int and NANOSECONDS_FROM <= first <= last < _LATEST_NS:
        start, end = first // 1000, last // 1000
    elif _START_AND_END.isdisjoint(record):
        return _NO_DURATION
    else:
        first, last = _readable(record, START), _readable(record, END)
        if first is None or last is None:
            return _NO_DURATION
        instants = instant_us(first), instant_us(last)
        if instants[0] is None or instants[1] is None or instants[1] < instants[0]:
            return _NO_DURATION
        start, end = instants[0], instants[1]
    exact = end - POSTGRES_EPOCH_US == time and not (end - start) % 1000
    return Duration((end - start) // 1000, exact and _is_in_microseconds(first) and _is_in_microseconds(last))


def _readable(record: Record, keys: Sequence[str]) -> Any:
    """Return the first value that is an instant, or None."""
    return next((value for key in keys if instant_us(value := record.get(key)) is not None), None)


def _is_in_microseconds(instant: Any) -> bool:
    return instant.__class__ is int and (instant < NANOSECONDS_FROM or not instant % 1000)


def address_with_port(address: str | None, port: int | None) -> str:
    """Return `192.0.2.1:53`, `[2001:db8::1]:53`, or the address alone."""
    if port is None:
        return address or ""
    return f"[{address}]:{port}" if address and ":" in address else f"{address or ''}:{port}"

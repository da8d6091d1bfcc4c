"""
Flows as OCSF Network Activity (class 4001), activity Traffic, in the wide table.

Flows that are OCSF objects already are stored by `network_activity_from_ocsf`. A real table with
the column `ocsf_payload` is the flat one of `network_activity_flat`.

Source: OCSF schema 1.3.0, "Network Activity [4001]"; IANA "Assigned Internet
Protocol Numbers".
"""

import re
from collections.abc import Callable
from typing import Any

from eventwriter.formats.bounded_cache import BoundedCache
from eventwriter.formats.fields import INT4, INT8, integer, names, whole
from eventwriter.formats.flow.ocsf import is_ocsf
from eventwriter.formats.ip_names import ETHERTYPES, PROTOCOLS
from eventwriter.formats.json import dumps
from eventwriter.model import Message, Record
from eventwriter.tables.ids import id_generator
from eventwriter.tables.netflow.flow import END, START, Flow, address_with_port, duration, flow
from eventwriter.tables.ocsf import network_activity_from_ocsf
from eventwriter.tables.ocsf.metadata import metadata_maker
from eventwriter.tables.ocsf.network_activity_flat import flat, flat_fields_of_flow
from eventwriter.tables.redaction import Redactor
from eventwriter.tables.table import Build, Column, Row, RowBuilder, Table
from eventwriter.tables.values import EMPTY_OBJECT, jsonb

_CLASS, _CATEGORY, _ACTIVITY = 4001, 4, 6
_INT4_MAX = INT4[1]
_NO_DIRECTION: tuple[str | None, int] = (None, 0)
_DIRECTIONS: dict[str, tuple[str | None, int]] = {
    "ingress": ("Inbound", 1), "inbound": ("Inbound", 1), "in": ("Inbound", 1),
    "egress": ("Outbound", 2), "outbound": ("Outbound", 2), "out": ("Outbound", 2),
    "lateral": ("Lateral", 3),
}  # fmt: skip
_ACTOR = b'\x01{"app_name":"ServiceRadar NetFlow Collector","app_ver":"1.0.0"}'
_START_AND_END = frozenset({*START, *END})
_OBSERVED = (
    b'\x01[{"name":%b,"type":"IP Address","type_id":2},{"name":%b,"type":"IP Address","type_id":2},'
    b'{"name":"%d","type":"Port","type_id":8},{"name":"%d","type":"Port","type_id":8}]'
)
_SRC_MAC, _DST_MAC = names("src_mac", "SrcMac", "mac_src", "in_src_mac"), names("dst_mac", "DstMac", "mac_dst")
_HEX = re.compile("(?:0[xX])?[0-9a-fA-F]{3,5}")
_ETYPE = names("etype", "Etype", "EType", "ethertype", "ether_type")


def readable_bytes(count: int) -> str:
    """Format a number of bytes in decimal units: ``150.0 KB``, ``2.5 GB``."""
    if count < 1_000:
        return f"{count} B"
    if count < 1_000_000:
        return f"{round(count / 1_000, 2)} KB"
    if count < 1_000_000_000:
        return f"{round(count / 1_000_000, 2)} MB"
    if count < 1_000_000_000_000:
        return f"{round(count / 1_000_000_000, 2)} GB"
    if count > INT8[1]:  # may be too large for a float
        return f"{count // 1_000_000_000_000} TB"
    return f"{round(count / 1_000_000_000_000, 2)} TB"


def _message(one: Flow, protocol: str) -> str:
    source = address_with_port(one.src_addr or _mac(one, _SRC_MAC), one.src_port)
    target = address_with_port(one.dst_addr or _mac(one, _DST_MAC), one.dst_port)
    return f"{protocol} traffic: {source} -> {target} ({one.packets or 0} pkts, {readable_bytes(one.octets or 0)})"


def _mac(one: Flow, keys: tuple[str, ...]) -> str | None:
    """Return the MAC address that stands for the missing IP address of an endpoint."""
    value = next((one.rest[key] for key in keys if key in one.rest), None)
    return value if value.__class__ is str else None


def _present(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _endpoint(one: Flow, address: str | None, port: int | None, mac: tuple[str, ...]) -> dict[str, Any]:
    return _present(ip=address or None, port=port, mac=None if address else _mac(one, mac))


def _endpoints(one: Flow) -> tuple[Any, ...]:
    """Return observables and both endpoints as jsonb."""
    source = _endpoint(one, one.src_addr, one.src_port, _SRC_MAC)
    target = _endpoint(one, one.dst_addr, one.dst_port, _DST_MAC)
    observables = [
        {"name": str(end[key]), "type": kind, "type_id": number}
        for key, kind, number in (("ip", "IP Address", 2), ("mac", "MAC Address", 3), ("port", "Port", 8))
        for end in (source, target)
        if key in end
    ]
    return jsonb(observables), jsonb(source), jsonb(target)


def _connection_info(key: tuple[str | None, int | None, int | None]) -> bytes | None:
    return jsonb(_present(sampler_address=key[0], input_snmp=key[1], output_snmp=key[2]))


def _device(device_id: str | None) -> bytes | None:
    return jsonb(_present(uid=device_id, name=device_id))


def _traffic(octets: int | None, packets: int | None) -> bytes | None:
    if octets is not None and packets is not None:
        return b'\x01{"bytes":%d,"packets":%d}' % (octets, packets)
    return jsonb(_present(bytes=octets, packets=packets))


def _remove_stored(rest: dict[str, Any], time: int, protocol: str | None) -> int | None:
    """Remove from a flow's rest what columns store exactly, and return the duration in milliseconds."""
    lasted = duration(rest, time)
    if lasted.is_exact:
        for key in [key for key in rest if key in _START_AND_END]:
            del rest[key]
    if protocol is not None and rest.get("protocol_name") == protocol:
        del rest["protocol_name"]
    return lasted.ms


def _layer_2_protocol(rest: dict[str, Any]) -> str | None:
    """Return the name of the EtherType of a flow without an IP protocol."""
    value = next((rest[key] for key in _ETYPE if key in rest), None)
    if value.__class__ is not str:
        return ETHERTYPES.get(whole(value) or 0)
    if not _HEX.fullmatch(value):
        return value
    return ETHERTYPES.get(int(value, 16)) or ETHERTYPES.get(whole(value) or 0)  # pmacct writes hexadecimal digits


def reader(build: Build) -> Callable[[Record, Message], Flow | Record]:
    """Return the function that reads a flow; a flow that is an OCSF object is returned as it is."""
    adjustments = build.adjustments
    redactor = Redactor(build.redact, adjustments)
    clean = redactor.clean if redactor.active else None

    def read(record: Record, message: Message) -> Flow | Record:
        # Hot: once per message.
        if clean is not None:
            record = clean(record, message)
        if "src_addr" not in record and is_ocsf(record):
            return record
        return flow(record, message, adjustments)

    return read


def row_maker(build: Build) -> Callable[[Flow | Record, Message, int], Row]:
    """Return the function (flow, its message, index of its record) → wide row."""
    adjustments = build.adjustments
    make_id, metadata = id_generator(build.origin), metadata_maker(build.ocsf_version, "NetFlowCollector")
    connection_infos, devices = BoundedCache(_connection_info), BoundedCache(_device)
    row_from_ocsf = network_activity_from_ocsf.builder(build)

    def row(one: Any, message: Message, index: int) -> Row:
        # Hot: once per message.
        if one.__class__ is dict:
            return row_from_ocsf(one, message, index)
        (
            gateway, agent, device, named_direction, src, dst, src_port, dst_port, number, packets, octets, _, _, _,
            rest, time,
        ) = one  # fmt: skip
        direction, direction_id = _DIRECTIONS.get((named_direction or "").lower(), _NO_DIRECTION)
        protocol, length_ms = PROTOCOLS.get(number), None
        if rest:
            length_ms = _remove_stored(rest, time, protocol)
            if protocol is None:
                named = rest.get("protocol_name")
                protocol = named if named.__class__ is str else _layer_2_protocol(rest)
        if number is not None and not 0 <= number <= _INT4_MAX:
            rest = {**rest, "protocol": number}
            number = integer(number, INT4, adjustments, "protocol_num")
        if protocol is None:
            protocol = "Unknown"
        if direction is None and named_direction is not None:
            rest = {**rest, "flow_direction": named_direction}
        if src and dst and src_port is not None and dst_port is not None:
            # Complete endpoints are written by template: 0.8 µs instead of 4 µs.
            src_json, dst_json = dumps(src), dumps(dst)
            observables = _OBSERVED % (src_json, dst_json, src_port, dst_port)
            source = b'\x01{"ip":%b,"port":%d}' % (src_json, src_port)
            target = b'\x01{"ip":%b,"port":%d}' % (dst_json, dst_port)
            text = (
                f"{protocol} traffic: {src}:{src_port} -> {dst}:{dst_port}"
                f" ({packets or 0} pkts, {readable_bytes(octets or 0)})"
                if ":" not in src and ":" not in dst
                else _message(one, protocol)
            )
        else:
            observables, source, target = _endpoints(one)
            text = _message(one, protocol)
        return (
            make_id(message.stream_seq, index),
            time,
            _CLASS, _CATEGORY, _CLASS * 100 + _ACTIVITY, _ACTIVITY, "Traffic", 1, "Informational",
            text,
            1, "Allowed", 1, "Success", None, None,
            metadata(message),
            observables, source, target,
            connection_infos[one[11:14]],
            _traffic(octets, packets),
            protocol, number,
            direction, direction_id,
            length_ms,
            devices[device],
            _ACTOR,
            None, None, None, None, None,
            jsonb(rest) if rest else EMPTY_OBJECT,
            None,
            gateway, agent,
        )  # fmt: skip

    return row


def builder(build: Build) -> RowBuilder:
    """Return the function that builds the row of a flow."""
    adjustments, row_of = build.adjustments, row_maker(build)
    redactor = Redactor(build.redact, adjustments)
    clean = redactor.clean if redactor.active else None

    def row(record: Record, message: Message, index: int) -> Row:
        # Hot: once per message. The same as `reader`, with one call less.
        if clean is not None:
            record = clean(record, message)
        if "src_addr" not in record and is_ocsf(record):
            return row_of(record, message, index)
        return row_of(flow(record, message, adjustments), message, index)

    return row


COLUMNS = (
    Column("id", "uuid", not_null=True),
    Column("time", "timestamptz", not_null=True),
    Column("class_uid", "int4", not_null=True),
    Column("category_uid", "int4", not_null=True),
    Column("type_uid", "int4", not_null=True),
    Column("activity_id", "int4", not_null=True),
    Column("activity_name", "text"),
    Column("severity_id", "int4"),
    Column("severity", "text"),
    Column("message", "text"),
    Column("action_id", "int4"),
    Column("action", "text"),
    Column("status_id", "int4"),
    Column("status", "text"),
    Column("status_code", "text"),
    Column("status_detail", "text"),
    Column("metadata", "jsonb"),
    Column("observables", "jsonb"),
    Column("src_endpoint", "jsonb"),
    Column("dst_endpoint", "jsonb"),
    Column("connection_info", "jsonb"),
    Column("traffic", "jsonb"),
    Column("protocol_name", "text"),
    Column("protocol_num", "int4"),
    Column("direction", "text"),
    Column("direction_id", "int4"),
    Column("duration", "int8"),
    Column("device", "jsonb"),
    Column("actor", "jsonb"),
    Column("scan_type", "text"),
    Column("ports_scanned", "int4[]"),
    Column("ports_open", "int4[]"),
    Column("icmp_available", "bool"),
    Column("response_time_ns", "int8"),
    Column("unmapped", "jsonb"),
    Column("raw_data", "text"),
    Column("gateway_id", "text"),
    Column("agent_id", "text"),
)
"""Columns of the wide table, for flows and for sweeps."""

OCSF_NETWORK_ACTIVITY = Table(
    name="ocsf_network_activity",
    columns=COLUMNS,
    builder=builder,
    time_column="time",
    key=("time", "id"),
    conflict="nothing",
    variants={"ocsf_payload": flat(reader, row_maker, COLUMNS, flat_fields_of_flow)},
)

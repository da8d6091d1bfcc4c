"""
Flows as OCSF Network Activity (class 4001), activity Traffic, in the wide table.

A flow that comes as an OCSF object already is `ocsf_network_activity_given`'s. A real
table with `ocsf_payload` is the flat one, `ocsf_network_activity_flat`'s.

Source: OCSF schema 1.3.0, "Network Activity [4001]"; IANA "Assigned Internet
Protocol Numbers".
"""

from typing import Any

from eventwriter.formats.bounded_cache import BoundedCache
from eventwriter.formats.flow.ocsf import is_ocsf
from eventwriter.formats.ip_names import PROTOCOLS
from eventwriter.formats.json import dumps
from eventwriter.model import Message, Record
from eventwriter.tables.ids import id_generator
from eventwriter.tables.netflow.flow import END, START, Flow, ends, flow, when
from eventwriter.tables.ocsf import network_activity_from_ocsf as ocsf_given
from eventwriter.tables.ocsf.flow_facts import facts_from_flow
from eventwriter.tables.ocsf.metadata import metadata_maker
from eventwriter.tables.ocsf.network_activity_flat import flat
from eventwriter.tables.table import Build, Column, Row, RowBuilder, Table
from eventwriter.tables.values import EMPTY_OBJECT, jsonb, redacted_jsonb, redacted_text

_CLASS, _CATEGORY, _ACTIVITY = 4001, 4, 6
_NO_DIRECTION: tuple[str | None, int] = (None, 0)
_DIRECTIONS: dict[str, tuple[str | None, int]] = {
    "ingress": ("Inbound", 1), "inbound": ("Inbound", 1), "in": ("Inbound", 1),
    "egress": ("Outbound", 2), "outbound": ("Outbound", 2), "out": ("Outbound", 2),
    "lateral": ("Lateral", 3),
}  # fmt: skip
_ACTOR = b'\x01{"app_name":"ServiceRadar NetFlow Collector","app_ver":"1.0.0"}'
_ENDS = frozenset({*START, *END})
_OBSERVED = (
    b'\x01[{"name":%b,"type":"IP Address","type_id":2},{"name":%b,"type":"IP Address","type_id":2},'
    b'{"name":"%d","type":"Port","type_id":8},{"name":"%d","type":"Port","type_id":8}]'
)


def bytes_for_people(count: int) -> str:
    """Write a number of bytes in decimal units: ``150.0 KB``, ``2.5 GB``."""
    if count < 1_000:
        return f"{count} B"
    if count < 1_000_000:
        return f"{round(count / 1_000, 2)} KB"
    if count < 1_000_000_000:
        return f"{round(count / 1_000_000, 2)} MB"
    if count < 1_000_000_000_000:
        return f"{round(count / 1_000_000_000, 2)} GB"
    return f"{round(count / 1_000_000_000_000, 2)} TB"


def _message(one: Flow, protocol: str) -> str:
    source = f"{one.src_addr or ''}{'' if one.src_port is None else f':{one.src_port}'}"
    target = f"{one.dst_addr or ''}{'' if one.dst_port is None else f':{one.dst_port}'}"
    return f"{protocol} traffic: {source} -> {target} ({one.packets or 0} pkts, {bytes_for_people(one.octets or 0)})"


def _present(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _observables(one: Flow) -> bytes | None:
    found = [{"name": a, "type": "IP Address", "type_id": 2} for a in (one.src_addr, one.dst_addr) if a]
    found += [{"name": str(p), "type": "Port", "type_id": 8} for p in (one.src_port, one.dst_port) if p is not None]
    return jsonb(found)


def _endpoints(one: Flow) -> tuple[Any, ...]:
    """Return observables and both endpoints as jsonb; written by template where both are whole, as nearly always."""
    # Hot: once per message; the general way costs 4 µs, the template 0.8.
    src, dst, src_port, dst_port = one[4:8]
    if src and dst and src_port is not None and dst_port is not None:
        src_json, dst_json = dumps(src), dumps(dst)
        return (
            _OBSERVED % (src_json, dst_json, src_port, dst_port),
            b'\x01{"ip":%b,"port":%d}' % (src_json, src_port),
            b'\x01{"ip":%b,"port":%d}' % (dst_json, dst_port),
        )
    return _observables(one), jsonb(_present(ip=src, port=src_port)), jsonb(_present(ip=dst, port=dst_port))


def _connection_info(key: tuple[str | None, int | None, int | None]) -> bytes | None:
    return jsonb(_present(sampler_address=key[0], input_snmp=key[1], output_snmp=key[2]))


def _device(device_id: str | None) -> bytes | None:
    return jsonb(_present(uid=device_id, name=device_id))


def _traffic(octets: int | None, packets: int | None) -> bytes | None:
    if octets is not None and packets is not None:
        return b'\x01{"bytes":%d,"packets":%d}' % (octets, packets)
    return jsonb(_present(bytes=octets, packets=packets))


def _without_what_is_said(record: Record, rest: dict[str, Any], time: int, protocol: str | None) -> int | None:
    """Take out of a flow's rest what columns say to the last digit, and return the duration: milliseconds."""
    duration_ms, said = ends(record, time)
    if said:
        for key in [key for key in rest if key in _ENDS]:
            del rest[key]
    if protocol is not None and rest.get("protocol_name") == protocol:
        del rest["protocol_name"]
    return duration_ms


def builder(build: Build) -> RowBuilder:
    """Return the function that makes a row of a flow."""
    adjustments, json_column, readable = build.adjustments, redacted_jsonb(build.redact), redacted_text(build.redact)
    make_id, metadata = id_generator(build.origin), metadata_maker(build.ocsf_version, "NetFlowCollector")
    connection_infos, devices = BoundedCache(_connection_info), BoundedCache(_device)
    given = ocsf_given.builder(build)

    def row(record: Record, message: Message, index: int) -> Row | None:
        # Hot: once per message.
        if "src_addr" not in record and is_ocsf(record):
            return given(record, message, index)
        one = flow(record, adjustments, readable)
        time = when(record, message, adjustments)
        direction, direction_id = _DIRECTIONS.get((one.direction or "").lower(), _NO_DIRECTION)
        protocol, rest, length_ms = PROTOCOLS.get(one.protocol), one.rest, None
        if rest:
            length_ms = _without_what_is_said(record, rest, time, protocol)
            if protocol is None and (named := rest.get("protocol_name")).__class__ is str:
                protocol = named
        if protocol is None:
            protocol = "Unknown"
        if direction is None and one.direction is not None:
            rest = {**rest, "flow_direction": one.direction}
        observables, source, target = _endpoints(one)
        return (
            make_id(message.stream_seq, index),
            time,
            _CLASS,
            _CATEGORY,
            _CLASS * 100 + _ACTIVITY,
            _ACTIVITY,
            "Traffic",
            1,
            "Informational",
            _message(one, protocol),
            1,
            "Allowed",
            1,
            "Success",
            None,
            None,
            metadata(message),
            observables,
            source,
            target,
            connection_infos[one[11:14]],
            _traffic(one.octets, one.packets),
            protocol,
            one.protocol,
            direction,
            direction_id,
            length_ms,
            devices[one.device_id],
            _ACTOR,
            None,
            None,
            None,
            None,
            None,
            json_column(rest) if rest else EMPTY_OBJECT,
            None,
            one.gateway_id,
            one.agent_id,
        )

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
"""The wide table's, whatever fills it."""

OCSF_NETWORK_ACTIVITY = Table(
    name="ocsf_network_activity",
    columns=COLUMNS,
    builder=builder,
    time_column="time",
    key=("time", "id"),
    conflict="nothing",
    variants={"ocsf_payload": flat(builder, COLUMNS, facts_from_flow)},
)

"""
Flows as OCSF Network Activity (class 4001), activity Traffic, in the wide table.

Source: OCSF schema 1.3.0, "Network Activity [4001]"; IANA "Assigned Internet
Protocol Numbers".
"""

import datetime as dt
from typing import Any

import orjson

from eventwriter.formats.fields import find, jsonb, timestamp
from eventwriter.model import Message, Record
from eventwriter.tables.flow import END, START, TIMESTAMP, Flow, duration_ms, flow
from eventwriter.tables.ids import id_maker
from eventwriter.tables.table import Build, Column, Row, RowBuilder, Table

_CLASS, _CATEGORY, _ACTIVITY = 4001, 4, 6
_PROTOCOLS = {
    1: "ICMP", 6: "TCP", 17: "UDP", 47: "GRE", 50: "ESP", 51: "AH", 58: "ICMPv6", 89: "OSPF", 132: "SCTP",
}  # fmt: skip
_DIRECTIONS = {
    "ingress": ("Inbound", 1), "inbound": ("Inbound", 1), "in": ("Inbound", 1),
    "egress": ("Outbound", 2), "outbound": ("Outbound", 2), "out": ("Outbound", 2),
    "lateral": ("Lateral", 3),
}  # fmt: skip
_ACTOR = b'\x01{"app_name":"ServiceRadar NetFlow Collector","app_ver":"1.0.0"}'
_IN_COLUMNS = frozenset({*START, *END})
_EMPTY_OBJECT = b"\x01{}"
_SUBJECTS_REMEMBERED_MAX = 10_000


def bytes_for_people(count: int) -> str:
    """Write a number of bytes in decimal units: ``150.0 KB``, ``2.5 GB``."""
    if count < 1000:
        return f"{count} B"
    power = min(4, (len(str(count)) - 1) // 3)
    return f"{round(count / 1000**power, 2)} {('KB', 'MB', 'GB', 'TB')[power - 1]}"


def _message(one: Flow, protocol: str) -> str:
    source = f"{one.src_addr or ''}{'' if one.src_port is None else f':{one.src_port}'}"
    target = f"{one.dst_addr or ''}{'' if one.dst_port is None else f':{one.dst_port}'}"
    return f"{protocol} traffic: {source} -> {target} ({one.packets or 0} pkts, {bytes_for_people(one.octets or 0)})"


def _present(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _observables(one: Flow) -> list[dict[str, Any]]:
    found = [{"name": a, "type": "IP Address", "type_id": 2} for a in (one.src_addr, one.dst_addr) if a]
    found += [{"name": str(p), "type": "Port", "type_id": 8} for p in (one.src_port, one.dst_port) if p is not None]
    return found


def _metadata_maker(version: str) -> Any:
    """Return (message → jsonb bytes); all but the time is the same for a subject, so it is kept."""
    remembered: dict[str, bytes] = {}

    def metadata(message: Message) -> bytes:
        tail = remembered.get(message.subject)
        if tail is None:
            fixed = {
                "version": version,
                "product": {"name": "NetFlowCollector", "vendor_name": "ServiceRadar"},
                "correlation_uid": message.subject,
            }
            tail = b"," + orjson.dumps(fixed)[1:]
            if len(remembered) < _SUBJECTS_REMEMBERED_MAX:
                remembered[message.subject] = tail
        seconds, ns = divmod(message.timestamp_ns, 1_000_000_000)
        moment = dt.datetime.fromtimestamp(seconds, dt.UTC).replace(microsecond=ns // 1000)
        return b'\x01{"logged_time":"%s"%s' % (moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode(), tail)

    return metadata


def builder(build: Build) -> RowBuilder:
    """Return the function that makes a row of a flow."""
    tally, redact = build.tally, build.redact
    make_id, metadata = id_maker(build.origin), _metadata_maker(build.ocsf_version)

    def row(record: Record, message: Message, index: int) -> Row:
        # Hot: once per message.
        one = flow(record, tally, redact)
        protocol = _PROTOCOLS.get(one.protocol, "Unknown") if one.protocol is not None else "Unknown"
        direction, direction_id = _DIRECTIONS.get((one.direction or "").lower(), (None, 0))
        length_ms = duration_ms(record)
        rest = one.rest
        if rest and length_ms is not None:
            rest = {k: v for k, v in rest.items() if k not in _IN_COLUMNS}
        if one.direction is not None and direction is None:
            rest = {**rest, "flow_direction": one.direction}
        return (
            make_id(message.stream_seq, index),
            timestamp(find(record, TIMESTAMP), message, tally),
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
            jsonb(_observables(one)),
            jsonb(_present(ip=one.src_addr, port=one.src_port)),
            jsonb(_present(ip=one.dst_addr, port=one.dst_port)),
            jsonb(
                _present(sampler_address=one.sampler_address, input_snmp=one.input_snmp, output_snmp=one.output_snmp)
            ),
            jsonb(_present(bytes=one.octets, packets=one.packets)),
            protocol,
            one.protocol,
            direction,
            direction_id,
            length_ms,
            jsonb(_present(uid=one.device_id, name=one.device_id)),
            _ACTOR,
            None,
            None,
            None,
            None,
            None,
            jsonb(rest) if rest else _EMPTY_OBJECT,
            None,
            one.gateway_id,
            one.agent_id,
        )

    return row


OCSF_NETWORK_ACTIVITY = Table(
    name="ocsf_network_activity",
    columns=(
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
    ),
    builder=builder,
    time_column="time",
    key=("time", "id"),
    conflict="nothing",
)

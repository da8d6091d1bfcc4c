"""
The flat `ocsf_network_activity` that ServiceRadar has had since February 2026.

Addresses, ports and counters have columns; `ocsf_payload` holds the complete OCSF object.
Columns that ServiceRadar fills from other tables (hosting providers, MAC vendors) stay NULL.
The columns of later migrations are `derived`, so that an earlier table causes no warning.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from eventwriter.formats.fields import INT4, INT8, find, integer, names, text
from eventwriter.formats.flow.ocsf import as_flow
from eventwriter.formats.ip_names import PROTOCOLS, service, tcp_flag_labels
from eventwriter.formats.json import dumps
from eventwriter.model import Adjustments, Message, Record
from eventwriter.tables.netflow.flow import END, START, Flow, flow
from eventwriter.tables.table import Build, Column, Row, RowBuilder, Table
from eventwriter.tables.values import POSTGRES_EPOCH_US, optional_instant, parsed_jsonb, text_array

_OMITTED = frozenset({"raw_data"})
"""Omitted, because it is a copy of the payload."""
_ARRAY_HEAD_BYTES = 20


def object_maker(columns: Sequence[Column]) -> Callable[[Row, Mapping[str, Any]], bytes]:
    """
    Return the function that encodes a row and further attributes as one jsonb object.

    NULLs and empty objects are omitted. Instants are milliseconds since 1970, as in OCSF.

    Args:
        columns: Names and types of the row's values, in the forms of `tables.table`.
    """
    parts = [
        (at, dumps(column.name) + b":", _ENCODERS[column.type])
        for at, column in enumerate(columns)
        if column.name not in _OMITTED
    ]

    def make(row: Row, further: Mapping[str, Any]) -> bytes:
        # Hot: once per row of the flat table. The JSON of the columns is copied, not parsed and encoded again.
        pieces = []
        for at, name, encode in parts:
            value = row[at]
            if value is not None and value != b"\x01{}":
                pieces.append(name + encode(value))
        pieces += [dumps(name) + b":" + dumps(value) for name, value in further.items() if value is not None]
        return b"\x01{" + b",".join(pieces) + b"}"

    return make


def _integer(value: int) -> bytes:
    return b"%d" % value


def _boolean(value: bool) -> bytes:
    return b"true" if value else b"false"


def milliseconds(value: int | None) -> int | None:
    """Convert an instant from µs since 2000 UTC to milliseconds since 1970, as in OCSF."""
    return None if value is None else (value + POSTGRES_EPOCH_US) // 1000


def _milliseconds(value: int) -> bytes:
    return b"%d" % ((value + POSTGRES_EPOCH_US) // 1000)


def _json(value: bytes) -> bytes:
    return value[1:]


def _uuid(value: bytes) -> bytes:
    return b'"%b"' % str(UUID(bytes=value)).encode()


def _integers(value: bytes) -> bytes:
    return dumps([number for _, number in struct.iter_unpack("!ii", value[_ARRAY_HEAD_BYTES:])])


_ENCODERS: dict[str, Callable[[Any], bytes]] = {
    "text": dumps,
    "int4": _integer,
    "int8": _integer,
    "bool": _boolean,
    "timestamptz": _milliseconds,
    "jsonb": _json,
    "uuid": _uuid,
    "int4[]": _integers,
}


_TCP = 6
_SHARED = 6
"""Number of the first columns, which are columns of the wide row too."""
_UNKNOWN = "unknown"
_IANA = "iana"


class FlatFields(NamedTuple):
    """Values of the flat columns for a flow or a scan; None if unknown. Instants are µs since 2000 UTC."""

    start_time: int | None = None
    end_time: int | None = None
    src_ip: str | None = None
    src_port: int | None = None
    src_as: int | None = None
    dst_ip: str | None = None
    dst_port: int | None = None
    dst_as: int | None = None
    protocol: int | None = None
    protocol_name: str | None = None
    tcp_flags: int | None = None
    octets: int | None = None
    packets: int | None = None
    bytes_in: int | None = None
    bytes_out: int | None = None
    packets_in: int | None = None
    packets_out: int | None = None
    sampler_address: str | None = None
    partition: str | None = None
    direction: str | None = None
    """`ingress` or `egress`, as the exporter reports it."""
    src_mac: str | None = None
    """12 hexadecimal digits in upper case."""
    dst_mac: str | None = None
    flow_source: Any = None
    """Protocol of the exporter, for example `NetFlow v9`; stored in the payload only."""
    ocsf: Record | None = None
    """The OCSF object that the flow was published as; it is then the payload."""


def direction_of(fields: FlatFields) -> tuple[str, str]:
    """Return the direction and its source: the counters of both directions, else the exporter."""
    if fields.bytes_in and fields.bytes_out:
        return "bidirectional", "heuristic"
    if fields.bytes_in:
        return "ingress", "heuristic"
    if fields.bytes_out:
        return "egress", "heuristic"
    return (fields.direction, "exporter") if fields.direction else (_UNKNOWN, _UNKNOWN)


Read = TypeVar("Read")


def flat(
    make_reader: Callable[[Build], Callable[[Record, Message], Read]],
    make_wide: Callable[[Build], Callable[[Read, Message, int], Row]],
    wide_columns: Sequence[Column],
    flat_fields: Callable[[Read, Adjustments], FlatFields],
) -> Table:
    """
    Return the flat definition that belongs to a wide one.

    Args:
        make_reader: Returns the function that reads a record.
        make_wide: Returns the function that builds the wide row of what was read. It becomes `ocsf_payload`, and its
            class and activity become columns.
        wide_columns: Columns of the wide row.
        flat_fields: Returns the values of the other columns.
    """
    names = [column.name for column in wide_columns]
    shared = [names.index(column.name) for column in COLUMNS[:_SHARED]]

    def builder(build: Build) -> RowBuilder:
        read, wide_row, ocsf_object = make_reader(build), make_wide(build), object_maker(wide_columns)
        adjustments = build.adjustments

        def row(record: Record, message: Message, index: int) -> Row:
            # Hot: once per message.
            one = read(record, message)
            # The wide row removes from the flow what it stores elsewhere; the columns need it.
            fields = flat_fields(one, adjustments)
            wide = wide_row(one, message, index)
            payload = parsed_jsonb(fields.ocsf) if fields.ocsf else ocsf_object(wide, _further(fields))
            return (*[wide[at] for at in shared], *_flat_values(fields, payload))

        return row

    return Table(name="ocsf_network_activity", columns=COLUMNS, builder=builder, time_column="time")


def _further(fields: FlatFields) -> dict[str, Any]:
    """Return the attributes of the OCSF object for which the wide table has no column."""
    if fields.start_time is fields.end_time is fields.flow_source is None:
        return {}
    return {
        "start_time": milliseconds(fields.start_time),
        "end_time": milliseconds(fields.end_time),
        "flow_source": fields.flow_source,
    }


def _flat_values(fields: FlatFields, payload: bytes | None) -> Row:
    """Return the columns from `start_time` on."""
    tcp = fields.protocol in (_TCP, None)
    labels = tcp_flag_labels(fields.tcp_flags) if fields.tcp_flags and tcp else []
    label = service(fields.protocol, fields.dst_port)
    return (
        fields.start_time,
        fields.end_time,
        fields.src_ip or None,
        fields.src_port or None,
        fields.src_as or None,
        fields.dst_ip or None,
        fields.dst_port or None,
        fields.dst_as or None,
        fields.protocol or None,
        fields.protocol_name,
        fields.tcp_flags or None,
        fields.octets,
        fields.packets,
        fields.bytes_in or 0,
        fields.bytes_out or 0,
        fields.sampler_address or None,
        payload,
        fields.partition or "default",
        _IANA if fields.protocol in PROTOCOLS else _UNKNOWN,
        text_array(labels) if labels else None,
        _IANA if labels else _UNKNOWN,
        label,
        _IANA if label else _UNKNOWN,
        *direction_of(fields),
        fields.src_mac,
        fields.dst_mac,
        fields.packets_in or 0,
        fields.packets_out or 0,
    )


_SRC_AS, _DST_AS = names("src_as", "src_as_number", "SrcAS"), names("dst_as", "dst_as_number", "DstAS")
_FLAGS = names("tcp_flags", "TCPFlags")
_BYTES_IN, _BYTES_OUT = names("bytes_in"), names("bytes_out")
_PACKETS_IN, _PACKETS_OUT = names("packets_in"), names("packets_out")
_SRC_MAC = names("src_mac", "SrcMac", "mac_src", "in_src_mac")
_DST_MAC = names("dst_mac", "DstMac", "mac_dst", "out_dst_mac")
_PARTITION = ("partition",)
_NAME, _SOURCE = names("protocol_name"), names("flow_source")

_DIRECTIONS = {
    **dict.fromkeys(("ingress", "inbound", "in"), "ingress"),
    **dict.fromkeys(("egress", "outbound", "out"), "egress"),
}
_HEX_DIGITS = frozenset("0123456789ABCDEF")


def bare_mac(value: Any) -> str | None:
    """Return a MAC address as 12 hexadecimal digits in upper case; other text is returned unchanged."""
    address = text(value)
    if not address:
        return None
    bare = address.replace(":", "").replace("-", "").replace(".", "").upper()
    return bare if len(bare) == 12 and _HEX_DIGITS.issuperset(bare) else address


def flat_fields_of_flow(one: Flow | Record, adjustments: Adjustments) -> FlatFields:
    """Return the values of the flat columns for a flow, or for an OCSF object."""
    ocsf = None
    if one.__class__ is dict:
        ocsf, one = one, flow(as_flow(one), _NO_MESSAGE, Adjustments())
    assert isinstance(one, Flow)
    rest = one.rest

    def count(column: str, value: Any, limits: tuple[int, int] = INT4) -> int | None:
        return None if value is None else integer(value, limits, adjustments, column)

    return FlatFields(
        start_time=_instant(rest, START),
        end_time=_instant(rest, END),
        src_ip=one.src_addr,
        src_port=count("src_endpoint_port", one.src_port),
        src_as=count("src_as_number", find(rest, _SRC_AS)),
        dst_ip=one.dst_addr,
        dst_port=count("dst_endpoint_port", one.dst_port),
        dst_as=count("dst_as_number", find(rest, _DST_AS)),
        protocol=count("protocol_num", one.protocol),
        protocol_name=PROTOCOLS.get(one.protocol) or text(find(rest, _NAME)) or "Unknown",
        tcp_flags=count("tcp_flags", find(rest, _FLAGS)),
        octets=count("bytes_total", one.octets, INT8),
        packets=count("packets_total", one.packets, INT8),
        bytes_in=count("bytes_in", find(rest, _BYTES_IN), INT8),
        bytes_out=count("bytes_out", find(rest, _BYTES_OUT), INT8),
        packets_in=count("packets_in", find(rest, _PACKETS_IN), INT8),
        packets_out=count("packets_out", find(rest, _PACKETS_OUT), INT8),
        sampler_address=one.sampler_address,
        partition=text(find(rest, _PARTITION)),
        direction=_DIRECTIONS.get((one.direction or "").lower()),
        src_mac=bare_mac(find(rest, _SRC_MAC)),
        dst_mac=bare_mac(find(rest, _DST_MAC)),
        flow_source=text(find(rest, _SOURCE)),
        ocsf=ocsf,
    )


_NO_MESSAGE = Message("", "", b"", None, 0, 0, 1, 0)
"""Stands for the message of an OCSF object, whose time is a column of the wide row."""


def _instant(rest: Record, keys: Sequence[str]) -> int | None:
    return next((at for key in keys if (at := optional_instant(rest.get(key))) is not None), None)


COLUMNS = (
    Column("time", "timestamptz", not_null=True),
    Column("class_uid", "int4", not_null=True),
    Column("category_uid", "int4", not_null=True),
    Column("activity_id", "int4", not_null=True),
    Column("type_uid", "int4", not_null=True),
    Column("severity_id", "int4", not_null=True),
    Column("start_time", "timestamptz"),
    Column("end_time", "timestamptz"),
    Column("src_endpoint_ip", "text"),
    Column("src_endpoint_port", "int4"),
    Column("src_as_number", "int4"),
    Column("dst_endpoint_ip", "text"),
    Column("dst_endpoint_port", "int4"),
    Column("dst_as_number", "int4"),
    Column("protocol_num", "int4"),
    Column("protocol_name", "text"),
    Column("tcp_flags", "int4"),
    Column("bytes_total", "int8"),
    Column("packets_total", "int8"),
    Column("bytes_in", "int8", not_null=True),
    Column("bytes_out", "int8", not_null=True),
    Column("sampler_address", "text"),
    Column("ocsf_payload", "jsonb", not_null=True),
    Column("partition", "text", not_null=True),
    Column("protocol_source", "text", derived=True),
    Column("tcp_flags_labels", "text[]", derived=True),
    Column("tcp_flags_source", "text", derived=True),
    Column("dst_service_label", "text", derived=True),
    Column("dst_service_source", "text", derived=True),
    Column("direction_label", "text", derived=True),
    Column("direction_source", "text", derived=True),
    Column("src_mac", "text", derived=True),
    Column("dst_mac", "text", derived=True),
    Column("packets_in", "int8", not_null=True, derived=True),
    Column("packets_out", "int8", not_null=True, derived=True),
)

"""
The flat `ocsf_network_activity` that ServiceRadar has since February 2026.

Addresses, ports and counters have columns; the whole OCSF object is in `ocsf_payload`.
What comes from other tables there (hosting providers, MAC vendors) stays NULL: it is
nothing that the message says. The columns of later migrations are `derived`, so that
an early table is written without a word.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from eventwriter.formats.ip_names import PROTOCOLS, service, tcp_flag_labels
from eventwriter.formats.json import dumps
from eventwriter.model import Adjustments, Message, Record
from eventwriter.tables.table import Build, Column, Row, RowBuilder, Table
from eventwriter.tables.values import POSTGRES_EPOCH_US, redacted_jsonb, text_array

_NO_COLUMNS_OF_OCSF = frozenset({"raw_data"})
"""Left out: a copy of the payload."""
_ARRAY_HEAD_BYTES = 20


def object_maker(columns: Sequence[Column]) -> Callable[[Row, Mapping[str, Any]], bytes]:
    """
    Return the function that makes jsonb of a row in these columns' forms (`tables.table`) and further attributes.

    NULLs and empty objects are left out. Instants are milliseconds since 1970, as OCSF has them.
    """
    parts = [
        (at, dumps(column.name) + b":", _FORMS[column.type])
        for at, column in enumerate(columns)
        if column.name not in _NO_COLUMNS_OF_OCSF
    ]

    def make(row: Row, further: Mapping[str, Any]) -> bytes:
        # Hot: once per row of the flat table; the columns' JSON is taken as it is, not parsed and written again.
        pieces = []
        for at, name, form in parts:
            value = row[at]
            if value is not None and value != b"\x01{}":
                pieces.append(name + form(value))
        pieces += [dumps(name) + b":" + dumps(value) for name, value in further.items() if value is not None]
        return b"\x01{" + b",".join(pieces) + b"}"

    return make


def _integer(value: int) -> bytes:
    return b"%d" % value


def _boolean(value: bool) -> bytes:
    return b"true" if value else b"false"


def milliseconds(value: int | None) -> int | None:
    """Return an instant, µs since 2000 UTC, as OCSF has it: milliseconds since 1970."""
    return None if value is None else (value + POSTGRES_EPOCH_US) // 1000


def _milliseconds(value: int) -> bytes:
    return b"%d" % ((value + POSTGRES_EPOCH_US) // 1000)


def _json(value: bytes) -> bytes:
    return value[1:]


def _uuid(value: bytes) -> bytes:
    return b'"%b"' % str(UUID(bytes=value)).encode()


def _integers(value: bytes) -> bytes:
    return dumps([number for _, number in struct.iter_unpack("!ii", value[_ARRAY_HEAD_BYTES:])])


_FORMS: dict[str, Callable[[Any], bytes]] = {
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
"""The first columns are the wide row's too."""
_UNKNOWN = "unknown"
_IANA = "iana"


class Facts(NamedTuple):
    """What the flat columns hold of a flow or a scan; None where it does not say. Instants: µs since 2000 UTC."""

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
    """`ingress` or `egress`, as the exporter says."""
    src_mac: str | None = None
    """12 hexadecimal digits, upper case."""
    dst_mac: str | None = None
    flow_source: Any = None
    """What exported it: `NetFlow v9`; in the payload only."""
    given: Record | None = None
    """The OCSF object that it came as, which is the payload then."""


FactsMaker = Callable[[Build, Adjustments], Callable[[Record], Facts]]
"""Called once per worker; the adjustments is one for throwing away, because the wide row counts already."""


def direction_of(facts: Facts) -> tuple[str, str]:
    """Return the direction's label and where it comes from: of the counters both ways, else as the exporter says."""
    if facts.bytes_in and facts.bytes_out:
        return "bidirectional", "heuristic"
    if facts.bytes_in:
        return "ingress", "heuristic"
    if facts.bytes_out:
        return "egress", "heuristic"
    return (facts.direction, "exporter") if facts.direction else (_UNKNOWN, _UNKNOWN)


def flat(wide_builder: Callable[[Build], RowBuilder], wide_columns: Sequence[Column], make_facts: FactsMaker) -> Table:
    """
    Return the flat definition beside a wide one.

    Args:
        wide_builder: Its rows become `ocsf_payload`, and their identity the class and activity columns.
        wide_columns: Those of its rows.
        make_facts: Reads the rest.
    """
    names = [column.name for column in wide_columns]
    shared = [names.index(column.name) for column in COLUMNS[:_SHARED]]

    def builder(build: Build) -> RowBuilder:
        wide_row, ocsf_object, facts_of = (
            wide_builder(build),
            object_maker(wide_columns),
            make_facts(build, Adjustments()),
        )
        json_column = redacted_jsonb(build.redact)

        def row(record: Record, message: Message, index: int) -> Row | None:
            # Hot: once per message.
            wide = wide_row(record, message, index)
            if wide is None:
                return None
            facts = facts_of(record)
            payload = json_column(facts.given) if facts.given else ocsf_object(wide, _further(facts))
            return (*[wide[at] for at in shared], *_flat_values(facts, payload))

        return row

    return Table(name="ocsf_network_activity", columns=COLUMNS, builder=builder, time_column="time")


def _further(facts: Facts) -> dict[str, Any]:
    """Return the attributes of the OCSF object that the wide table has no column for."""
    if facts.start_time is facts.end_time is facts.flow_source is None:
        return {}
    return {
        "start_time": milliseconds(facts.start_time),
        "end_time": milliseconds(facts.end_time),
        "flow_source": facts.flow_source,
    }


def _flat_values(facts: Facts, payload: bytes | None) -> Row:
    """Return the columns from `start_time` on."""
    tcp = facts.protocol in (_TCP, None)
    labels = tcp_flag_labels(facts.tcp_flags) if facts.tcp_flags and tcp else []
    label = service(facts.protocol, facts.dst_port)
    return (
        facts.start_time,
        facts.end_time,
        facts.src_ip or None,
        facts.src_port or None,
        facts.src_as or None,
        facts.dst_ip or None,
        facts.dst_port or None,
        facts.dst_as or None,
        facts.protocol or None,
        facts.protocol_name,
        facts.tcp_flags or None,
        facts.octets,
        facts.packets,
        facts.bytes_in or 0,
        facts.bytes_out or 0,
        facts.sampler_address or None,
        payload,
        facts.partition or "default",
        _IANA if facts.protocol in PROTOCOLS else _UNKNOWN,
        text_array(labels) if labels else None,
        _IANA if labels else _UNKNOWN,
        label,
        _IANA if label else _UNKNOWN,
        *direction_of(facts),
        facts.src_mac,
        facts.dst_mac,
        facts.packets_in or 0,
        facts.packets_out or 0,
    )


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

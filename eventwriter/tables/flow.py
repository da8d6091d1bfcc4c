"""What a NetFlow record in JSON says, read once for both tables that it may fill."""

from typing import Any, NamedTuple

from eventwriter.errors import Poison
from eventwriter.formats.fields import INT4, INT8, find, instant_us, integer, json_value, names, text, without
from eventwriter.model import Record, Tally

TIMESTAMP = names("timestamp")
_GATEWAY, _AGENT, _DEVICE = names("gateway_id", "poller_id", "pollerId"), names("agent_id"), names("device_id")
_DIRECTION = names("flow_direction")
_SRC, _DST = (
    names("src_addr", "sourceAddress", "source_address"),
    names("dst_addr", "destinationAddress", "destination_address"),
)
_SRC_PORT, _DST_PORT = (
    names("src_port", "sourcePort", "source_port"),
    names("dst_port", "destinationPort", "destination_port"),
)
_OCTETS = names("octets", "bytes")
_SAMPLER = names("sampler_address")
_INPUT, _OUTPUT = names("input_snmp"), names("output_snmp")
START = names("start_time", "flow_start", "flowStart", "time_flow_start_ns")
END = names("end_time", "flow_end", "flowEnd", "time_flow_end_ns")

_KNOWN = frozenset(
    key
    for keys in (
        TIMESTAMP, _GATEWAY, _AGENT, _DEVICE, _DIRECTION, _SRC, _DST, _SRC_PORT, _DST_PORT, _OCTETS, _SAMPLER,
        _INPUT, _OUTPUT, ("protocol", "packets"),
    )
    for key in keys
)  # fmt: skip


class Flow(NamedTuple):
    """The fields of one flow, in their columns' types."""

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
    """What has no column; kept."""


def flow(record: Record, tally: Tally, redact: frozenset[str]) -> Flow:
    """
    Read a record.

    Raises:
        Poison: `missing_field`, where it names neither of the two addresses.
    """
    # Hot: once per message.
    get = record.get
    src, dst = text(find(record, _SRC)), text(find(record, _DST))
    if not src and not dst:
        raise Poison(
            "missing_field", "src_addr and dst_addr are both missing or empty: there is no flow without an address"
        )
    rest = {k: json_value(v) for k, v in record.items() if k not in _KNOWN and v is not None}
    return Flow(
        text(find(record, _GATEWAY)),
        text(find(record, _AGENT)),
        text(find(record, _DEVICE)),
        text(find(record, _DIRECTION)),
        src,
        dst,
        integer(find(record, _SRC_PORT), INT4, tally),
        integer(find(record, _DST_PORT), INT4, tally),
        integer(get("protocol"), INT4, tally),
        integer(get("packets"), INT8, tally),
        integer(find(record, _OCTETS), INT8, tally),
        text(find(record, _SAMPLER)),
        integer(find(record, _INPUT), INT4, tally),
        integer(find(record, _OUTPUT), INT4, tally),
        without(rest, redact) if rest else rest,
    )


def duration_ms(record: Record) -> int | None:
    """Return how long the flow lasted, where both its ends are given and in order; milliseconds."""
    start, end = instant_us(find(record, START)), instant_us(find(record, END))
    return (end - start) // 1000 if start is not None and end is not None and end >= start else None

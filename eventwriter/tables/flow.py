"""What a NetFlow record in JSON says, read once for both tables that it may fill."""

from collections.abc import Callable
from typing import Any, NamedTuple

from eventwriter.errors import Poison
from eventwriter.formats.fields import INT4, INT8, find, instant_us, integer, json_value, names, text_of
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


_INT4_MAX, _INT8_MAX = INT4[1], INT8[1]


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
    """What has no column; kept. Secrets are still in it: it is written with `redacted_jsonb`."""


_flow_of: Callable[[type[Flow], tuple[Any, ...]], Flow] = tuple.__new__
"""Makes a Flow of a tuple in 0.1 µs; the class's own constructor takes 0.4."""


def flow(record: Record, tally: Tally) -> Flow:  # noqa: C901  # hot: a branch for each field, no call
    """
    Read a record.

    Raises:
        Poison: `missing_field`, where it names neither of the two addresses.
    """
    # Hot: once per message. A field of the usual name and type is taken as it is; all else is looked for.
    get = record.get
    if (src := get("src_addr")).__class__ is not str:
        src = text_of(record, _SRC)
    if (dst := get("dst_addr")).__class__ is not str:
        dst = text_of(record, _DST)
    if not src and not dst:
        raise Poison(
            "missing_field", "src_addr and dst_addr are both missing or empty: there is no flow without an address"
        )
    if (gateway := get("gateway_id")).__class__ is not str:
        gateway = text_of(record, _GATEWAY)
    if (agent := get("agent_id")).__class__ is not str:
        agent = text_of(record, _AGENT)
    if (device := get("device_id")).__class__ is not str:
        device = text_of(record, _DEVICE)
    if (direction := get("flow_direction")).__class__ is not str:
        direction = text_of(record, _DIRECTION)
    if (sampler := get("sampler_address")).__class__ is not str:
        sampler = text_of(record, _SAMPLER)
    if (src_port := get("src_port")).__class__ is not int or not 0 <= src_port <= _INT4_MAX:
        src_port = integer(find(record, _SRC_PORT), INT4, tally)
    if (dst_port := get("dst_port")).__class__ is not int or not 0 <= dst_port <= _INT4_MAX:
        dst_port = integer(find(record, _DST_PORT), INT4, tally)
    if (protocol := get("protocol")).__class__ is not int or not 0 <= protocol <= _INT4_MAX:
        protocol = integer(protocol, INT4, tally)
    if (packets := get("packets")).__class__ is not int or not 0 <= packets <= _INT8_MAX:
        packets = integer(packets, INT8, tally)
    if (octets := get("octets")).__class__ is not int or not 0 <= octets <= _INT8_MAX:
        octets = integer(find(record, _OCTETS), INT8, tally)
    if (input_snmp := get("input_snmp")).__class__ is not int or not 0 <= input_snmp <= _INT4_MAX:
        input_snmp = integer(find(record, _INPUT), INT4, tally)
    if (output_snmp := get("output_snmp")).__class__ is not int or not 0 <= output_snmp <= _INT4_MAX:
        output_snmp = integer(find(record, _OUTPUT), INT4, tally)
    others = [key for key in record if key not in _KNOWN]
    rest = {key: json_value(value) for key in others if (value := record[key]) is not None} if others else {}
    return _flow_of(
        Flow,
        (
            gateway, agent, device, direction, src, dst, src_port, dst_port, protocol, packets, octets, sampler,
            input_snmp, output_snmp, rest,
        ),
    )  # fmt: skip


def duration_ms(record: Record) -> int | None:
    """Return how long the flow lasted, where both its ends are given and in order; milliseconds."""
    start, end = instant_us(find(record, START)), instant_us(find(record, END))
    return (end - start) // 1000 if start is not None and end is not None and end >= start else None

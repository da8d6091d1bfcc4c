"""What a flow says, read once for every table that it may fill: of JSON, or of what a FlowMessage decodes to."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from eventwriter.errors import Poison
from eventwriter.formats.fields import INT4, INT8, LATEST_US, find, instant_us, integer, json_value, names, text
from eventwriter.formats.ip_names import PROTOCOL_NUMBERS
from eventwriter.model import Adjustments, Message, Record
from eventwriter.tables.values import POSTGRES_EPOCH_US, timestamp

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
_INTEGERS = (
    (_SRC_PORT, INT4), (_DST_PORT, INT4), (("protocol",), INT4), (("packets",), INT8), (_OCTETS, INT8),
    (_INPUT, INT4), (_OUTPUT, INT4),
)  # fmt: skip
START = names("start_time", "flow_start", "flowStart", "time_flow_start_ns")
END = names("end_time", "flow_end", "flowEnd", "time_flow_end_ns")
RECEIVED = names("time_received_ns")

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
    """
    What has no column, and numbers too large for theirs; kept. Secrets are still in it:
    it is written with `redacted_jsonb`.
    """


_flow_of: Callable[[type[Flow], tuple[Any, ...]], Flow] = tuple.__new__
"""Makes a Flow of a tuple in 0.1 µs; the class's own constructor takes 0.4."""


Readable = Callable[[Any], str | None]
"""Makes a text column's value of what a field holds: `scalars.redacted_text`."""


def flow(record: Record, adjustments: Adjustments, readable: Readable) -> Flow:  # noqa: C901  # hot: a branch a field, no call
    """
    Read a record.

    Args:
        adjustments: Where adjusted values are counted.
        readable: Used for text that is not where it usually is, or no text.

    Raises:
        Poison: `missing_field`, where it names neither of the two addresses.
    """
    # Hot: once per message. A field of the usual name and type is taken as it is; all else is looked for.
    get, cut_before = record.get, adjustments.clamped
    if (src := get("src_addr")).__class__ is not str:
        src = _text(record, _SRC, readable)
    if (dst := get("dst_addr")).__class__ is not str:
        dst = _text(record, _DST, readable)
    if not src and not dst:
        raise Poison(
            "missing_field", "src_addr and dst_addr are both missing or empty: there is no flow without an address"
        )
    if (gateway := get("gateway_id")).__class__ is not str:
        gateway = _text(record, _GATEWAY, readable)
    if (agent := get("agent_id")).__class__ is not str:
        agent = _text(record, _AGENT, readable)
    if (device := get("device_id")).__class__ is not str:
        device = _text(record, _DEVICE, readable)
    if (direction := get("flow_direction")).__class__ is not str:
        direction = _text(record, _DIRECTION, readable)
    if (sampler := get("sampler_address")).__class__ is not str:
        sampler = _text(record, _SAMPLER, readable)
    if "{" in f"{gateway}{agent}{device}{direction}{src}{dst}{sampler}":
        # JSON in text may hold secrets.
        gateway, agent, device, direction, src, dst, sampler = map(
            readable, (gateway, agent, device, direction, src, dst, sampler)
        )
    if (src_port := get("src_port")).__class__ is not int or not 0 <= src_port <= _INT4_MAX:
        src_port = integer(find(record, _SRC_PORT), INT4, adjustments)
    if (dst_port := get("dst_port")).__class__ is not int or not 0 <= dst_port <= _INT4_MAX:
        dst_port = integer(find(record, _DST_PORT), INT4, adjustments)
    if (protocol := get("protocol")).__class__ is not int or not 0 <= protocol <= _INT4_MAX:
        protocol = _protocol(protocol, adjustments)
    if (packets := get("packets")).__class__ is not int or not 0 <= packets <= _INT8_MAX:
        packets = integer(packets, INT8, adjustments)
    if (octets := get("octets")).__class__ is not int or not 0 <= octets <= _INT8_MAX:
        octets = integer(find(record, _OCTETS), INT8, adjustments)
    if (input_snmp := get("input_snmp")).__class__ is not int or not 0 <= input_snmp <= _INT4_MAX:
        input_snmp = integer(find(record, _INPUT), INT4, adjustments)
    if (output_snmp := get("output_snmp")).__class__ is not int or not 0 <= output_snmp <= _INT4_MAX:
        output_snmp = integer(find(record, _OUTPUT), INT4, adjustments)
    others = [key for key in record if key not in _KNOWN]
    rest = {key: json_value(value) for key in others if (value := record[key]) is not None} if others else {}
    if adjustments.clamped != cut_before:
        rest |= _cut(record)
    return _flow_of(
        Flow,
        (
            gateway, agent, device, direction, src, dst, src_port, dst_port, protocol, packets, octets, sampler,
            input_snmp, output_snmp, rest,
        ),
    )  # fmt: skip


def _cut(record: Record) -> dict[str, Any]:
    """Return the numbers that did not fit their columns, as they were."""
    found = {}
    for keys, limits in _INTEGERS:
        adjustments = Adjustments()
        value = find(record, keys)
        integer(value, limits, adjustments)
        if adjustments.clamped:
            found[keys[0]] = value
    return found


def _text(record: Record, keys: Sequence[str], readable: Readable) -> str | None:
    # Hot for flows that lack some of them, as those of a FlowMessage do: no call within.
    for key in keys:
        value = record.get(key)
        if value is not None:
            return readable(value)
    return None


def _protocol(value: Any, adjustments: Adjustments) -> int | None:
    """Return a protocol's number, also of its name."""
    number = integer(value, INT4, adjustments)
    return number if number is not None else PROTOCOL_NUMBERS.get((text(value) or "").strip().lower())


def when(record: Record, message: Message, adjustments: Adjustments) -> int:
    """
    Return the time of a flow, in µs since 2000 UTC: its timestamp; where it has none, the first that
    is usable of its end, its receipt and its start; else the message's JetStream timestamp, counted.
    """
    # Hot: once per message.
    given = record.get("timestamp")
    if given is None:
        for keys in (END, RECEIVED, START):
            if (value := find(record, keys)) is not None and (us := instant_us(value)) is not None:
                return us - POSTGRES_EPOCH_US
    return timestamp(given, message, adjustments)


class Ends(NamedTuple):
    """
    How long a flow lasted.

    Attributes:
        duration_ms: None unless both ends are given and in order.
        said: The time of the row is the end, and with the duration it says the start to the last digit.
    """

    duration_ms: int | None
    said: bool


_NANOSECONDS_FROM = 10**17
"""Integers from here on are nanoseconds (`fields.instant_us`)."""
_LATEST_NS = LATEST_US * 1000
_NO_ENDS = Ends(None, False)


def ends(record: Record, time: int) -> Ends:
    """
    Return what the start and the end of a flow come to.

    Args:
        time: That of the row, in µs since 2000 UTC.
    """
    # Hot: once per FlowMessage, whose instants are read without a call.
    first, last = record.get("time_flow_start_ns"), record.get("time_flow_end_ns")
    if first.__class__ is last.__class__ is int and _NANOSECONDS_FROM <= first <= last < _LATEST_NS:
        start, end = first // 1000, last // 1000
    else:
        first, last = find(record, START), find(record, END)
        if first is None or last is None:
            return _NO_ENDS
        found = instant_us(first), instant_us(last)
        if found[0] is None or found[1] is None or found[1] < found[0]:
            return _NO_ENDS
        start, end = found[0], found[1]
    exact = end - POSTGRES_EPOCH_US == time and not (end - start) % 1000
    return Ends((end - start) // 1000, exact and _in_microseconds(first) and _in_microseconds(last))


def _in_microseconds(instant: Any) -> bool:
    return instant.__class__ is int and (instant < _NANOSECONDS_FROM or not instant % 1000)

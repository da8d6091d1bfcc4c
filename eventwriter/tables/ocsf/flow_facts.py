"""What the flat `ocsf_network_activity` has columns for, of a flow."""

from collections.abc import Callable
from typing import Any

from eventwriter.formats.fields import INT4, INT8, find, instant_us, integer, names, text
from eventwriter.formats.flow.ocsf import as_flow, is_ocsf
from eventwriter.formats.ip_names import PROTOCOLS
from eventwriter.model import Adjustments, Record
from eventwriter.tables.netflow.flow import END, START, flow
from eventwriter.tables.ocsf.network_activity_flat import Facts
from eventwriter.tables.table import Build
from eventwriter.tables.values import POSTGRES_EPOCH_US, redacted_text

_SRC_AS, _DST_AS = names("src_as", "src_as_number"), names("dst_as", "dst_as_number")
_FLAGS = names("tcp_flags")
_BYTES_IN, _BYTES_OUT = names("bytes_in"), names("bytes_out")
_PACKETS_IN, _PACKETS_OUT = names("packets_in"), names("packets_out")
_SRC_MAC, _DST_MAC = names("src_mac"), names("dst_mac")
_PARTITION = ("partition",)
_NAME, _SOURCE = names("protocol_name"), names("flow_source")

_DIRECTIONS = {
    **dict.fromkeys(("ingress", "inbound", "in"), "ingress"),
    **dict.fromkeys(("egress", "outbound", "out"), "egress"),
}
_HEX_DIGITS = frozenset("0123456789ABCDEF")


def bare_mac(value: Any) -> str | None:
    """Return a MAC address as 12 hexadecimal digits in upper case; text that is none as it is."""
    given = text(value)
    if not given:
        return None
    bare = given.replace(":", "").replace("-", "").replace(".", "").upper()
    return bare if len(bare) == 12 and _HEX_DIGITS.issuperset(bare) else given


def optional_instant(value: Any) -> int | None:
    """Return an instant in µs since 2000 UTC; None where it is missing or unusable."""
    us = instant_us(value)
    return None if us is None else us - POSTGRES_EPOCH_US


def facts_from_flow(build: Build, adjustments: Adjustments) -> Callable[[Record], Facts]:
    """Return the function that reads a flow, in JSON, of a FlowMessage, or an OCSF object."""
    readable = redacted_text(build.redact)

    def count(record: Record, keys: tuple[str, ...], limits: tuple[int, int]) -> int | None:
        value = find(record, keys)
        return None if value is None else integer(value, limits, adjustments)

    def words(record: Record, keys: tuple[str, ...]) -> str | None:
        value = find(record, keys)
        return None if value is None else readable(value)

    def facts(record: Record) -> Facts:
        given = "src_addr" not in record and is_ocsf(record)
        if given:
            record = as_flow(record)
        one = flow(record, adjustments, readable)
        return Facts(
            start_time=optional_instant(find(record, START)),
            end_time=optional_instant(find(record, END)),
            src_ip=one.src_addr,
            src_port=one.src_port,
            src_as=count(record, _SRC_AS, INT4),
            dst_ip=one.dst_addr,
            dst_port=one.dst_port,
            dst_as=count(record, _DST_AS, INT4),
            protocol=one.protocol,
            protocol_name=PROTOCOLS.get(one.protocol) or words(record, _NAME) or "Unknown",
            tcp_flags=count(record, _FLAGS, INT4),
            octets=one.octets,
            packets=one.packets,
            bytes_in=count(record, _BYTES_IN, INT8),
            bytes_out=count(record, _BYTES_OUT, INT8),
            packets_in=count(record, _PACKETS_IN, INT8),
            packets_out=count(record, _PACKETS_OUT, INT8),
            sampler_address=one.sampler_address,
            partition=words(record, _PARTITION),
            direction=_DIRECTIONS.get((one.direction or "").lower()),
            src_mac=bare_mac(words(record, _SRC_MAC)),
            dst_mac=bare_mac(words(record, _DST_MAC)),
            flow_source=words(record, _SOURCE),
            given=record.get("ocsf") if given else None,
        )

    return facts

"""Tests of the FlowMessage decoder: field numbers, values, framing and errors."""

import re
from pathlib import Path

import pytest
from google.protobuf.descriptor import FieldDescriptor

import eventwriter.formats.flow
from eventwriter.errors import Poison
from eventwriter.formats.flow.flow_message import decode
from eventwriter.formats.flow.flow_pb2 import FlowMessage

SOURCE = Path(eventwriter.formats.flow.__file__).with_name("flow.proto")
FLOW = FlowMessage(src_addr=bytes([10, 0, 0, 1]), dst_addr=bytes([10, 0, 0, 2]), proto=6, packets=3)
RECORD = {"src_addr": "10.0.0.1", "dst_addr": "10.0.0.2", "protocol": 6, "packets": 3}
TYPES = {
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_UINT64: "uint64",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_ENUM: "FlowType",
}


def test_generated_module_matches_the_proto_file() -> None:
    """flow_pb2.py has exactly the fields, types and numbers of flow.proto."""
    written = re.findall(r"^  (repeated )?(\w+) (\w+) = (\d+);", SOURCE.read_text(), re.MULTILINE)

    assert {(bool(r), kind, name, int(number)) for r, kind, name, number in written} == {
        (f.is_repeated, TYPES[f.type], f.name, f.number) for f in FlowMessage.DESCRIPTOR.fields
    }


def test_field_numbers_match_the_collector() -> None:
    """The field numbers are those that ServiceRadar's flow collector writes."""
    numbers = [1, 3, 4, 6, 7, *range(9, 39), 70, 71, 80, 81, 82, *range(100, 108), *range(110, 117)]

    assert numbers == [f.number for f in FlowMessage.DESCRIPTOR.fields]


def test_encoded_field_numbers_are_decoded() -> None:
    """Hand-written bytes are decoded by their field numbers."""
    payload = bytes.fromhex(
        "32 04 0a000001   3a 04 0a000002"  # src_addr, dst_addr
        "48 05   50 02   a001 11   a801 35   b001 8001"  # bytes, packets, proto, src_port, dst_port
        "d806 01   f006 808098a8b8d9aad517"  # 107, which is text, as a number; time_received_ns
    )

    assert [
        {
            "src_addr": "10.0.0.1",
            "dst_addr": "10.0.0.2",
            "octets": 5,
            "packets": 2,
            "protocol": 17,
            "src_port": 53,
            "dst_port": 128,
            "time_received_ns": 1_705_363_200_000_000_000,
            "unknown_fields": [{"number": 107, "wire_type": 0, "value": 1}],
        }
    ] == decode(payload)


def test_zero_fields_are_absent() -> None:
    """Fields that are zero or empty are not in the record."""
    assert [RECORD] == decode(FLOW.SerializeToString())


@pytest.mark.parametrize(
    ("packed", "text"),
    [
        (bytes([192, 0, 2, 1]), "192.0.2.1"),
        (bytes(4), "0.0.0.0"),
        (bytes(16), "::"),
        (bytes.fromhex("20010db8000000000001000000000001"), "2001:db8::1:0:0:1"),
        (bytes(10) + b"\xff\xff\x0a\x01\x00\x01", "::ffff:10.1.0.1"),
    ],
)
def test_address_is_formatted(packed: bytes, text: str) -> None:
    """Addresses of 4 and 16 bytes have the same text on every version of Python."""
    assert text == decode(FlowMessage(src_addr=packed).SerializeToString())[0]["src_addr"]


@pytest.mark.parametrize("field", ["src_addr", "dst_addr", "sampler_address"])
def test_endpoint_of_invalid_length_is_poison(field: str) -> None:
    """An endpoint address of five bytes is poison, and the detail shows its bytes."""
    message = FlowMessage(src_addr=bytes(4))
    setattr(message, field, b"\x01\x02\x03\x04\x05")

    with pytest.raises(Poison) as caught:
        decode(message.SerializeToString())

    assert "bad_value" == caught.value.reason
    assert "0102030405" in caught.value.detail


def test_next_hop_of_invalid_length_is_kept() -> None:
    """A next hop of an invalid length is kept as hexadecimal digits."""
    assert "0102" == decode(FlowMessage(src_addr=bytes(4), next_hop=b"\x01\x02").SerializeToString())[0]["next_hop"]


def test_mac_beyond_48_bits_stays_a_number() -> None:
    """A number that is too large for a MAC address stays a number."""
    record = decode(FlowMessage(src_addr=bytes(4), src_mac=0xAB, dst_mac=1 << 48).SerializeToString())[0]

    assert ("00:00:00:00:00:ab", 1 << 48) == (record["src_mac"], record["dst_mac"])


def test_nanoseconds_before_1973_are_text() -> None:
    """Instants of an exporter whose clock starts at 0 are not read in a coarser unit."""
    record = decode(FlowMessage(src_addr=bytes(4), time_flow_end_ns=5_000_000_007).SerializeToString())[0]

    assert "1970-01-01T00:00:05.000000007Z" == record["time_flow_end_ns"]


def test_usable_end_is_the_timestamp() -> None:
    """The end of a flow is its timestamp unless it is after 2262."""
    ends = (1_705_363_200_000_000_000, 10_000_000_000_000_000_000)
    records = [decode(FlowMessage(src_addr=bytes(4), time_flow_end_ns=end).SerializeToString())[0] for end in ends]

    assert [ends[0], None] == [record.get("timestamp") for record in records]


@pytest.mark.parametrize("head", [b"\x11", b"\x91\x00", b"\x00\x00\x00\x11"], ids=["varint", "long varint", "4 bytes"])
def test_length_prefix_is_skipped(head: bytes) -> None:
    """A flow with its length as a prefix is decoded."""
    assert [RECORD] == decode(head + FLOW.SerializeToString())


@pytest.mark.parametrize("head", [b"\x07", b"\x00", b"\x00\x00\x00\x00", b"\xff\xff"])
def test_other_prefix_is_malformed(head: bytes) -> None:
    """Leading bytes that are not the length are not skipped."""
    with pytest.raises(Poison, match="malformed"):
        decode(head + FLOW.SerializeToString())


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xff\xff", FLOW.SerializeToString()[:-1], b"\xc0\x0c\x01"],
    ids=["empty", "garbage", "truncated", "other fields"],
)
def test_payload_without_flow_is_malformed(payload: bytes) -> None:
    """A payload that is not a FlowMessage is malformed."""
    with pytest.raises(Poison) as caught:
        decode(payload)

    assert "malformed" == caught.value.reason

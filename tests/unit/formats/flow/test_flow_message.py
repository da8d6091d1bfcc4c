"""Tests of the FlowMessage decoder: field numbers, values, framing and errors."""

import re
from pathlib import Path

import pytest
from google.protobuf.descriptor import FieldDescriptor
from producer_recordings import RECORDINGS, Recording

import eventwriter.formats.flow
from eventwriter.errors import Poison
from eventwriter.formats.flow.flow_message import decode
from eventwriter.formats.flow.flow_pb2 import FlowMessage
from eventwriter.kinds.registry import KINDS
from eventwriter.model import Message

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


def framed(*messages: bytes) -> bytes:
    return b"".join(bytes([len(message)]) + message for message in messages)


@pytest.mark.parametrize("padding", range(9))
def test_length_that_looks_like_a_tag_is_skipped(padding: int) -> None:
    """A length that also reads as the tag of a field does not swallow the first fields."""
    sent = FlowMessage(
        type=4, src_addr=bytes(4), dst_addr=bytes([10, 0, 0, 2]), sampling_rate=7, protocol_name="x" * padding
    )

    (record,) = decode(framed(sent.SerializeToString()))

    assert ("IPFIX", "0.0.0.0", "10.0.0.2", 7) == tuple(
        record[key] for key in ("flow_source", "src_addr", "dst_addr", "sampling_rate")
    )


def test_reported_frame_keeps_its_source_address() -> None:
    """The reported frame, whose length is the tag of field 2, keeps its source address."""
    payload = bytes.fromhex("11 0802 32040a000001 3a040a000002 a00106")

    assert [("10.0.0.1", "10.0.0.2", 6)] == [
        (record["src_addr"], record["dst_addr"], record["protocol"]) for record in decode(payload)
    ]


def test_chain_of_frames_is_several_records() -> None:
    """Several framed flows in one payload are several records."""
    assert [RECORD, RECORD, RECORD] == decode(framed(*[FLOW.SerializeToString()] * 3))


@pytest.mark.parametrize("length", [0x5B, 0x7B], ids=["bracket", "brace"])
def test_length_that_looks_like_json_is_protobuf(length: int) -> None:
    """A frame whose length is the code of a bracket is not taken for JSON."""
    sent = FlowMessage(src_addr=bytes([10, 0, 0, 1]), protocol_name="")
    sent.protocol_name = "x" * (length - sent.ByteSize() - 3)
    payload = framed(sent.SerializeToString())

    assert payload[0] == length
    records = KINDS["netflow"].decode(Message("", "netflow.x", payload, None, 1, 1, 1, 1))
    assert ["10.0.0.1"] == [record["src_addr"] for record in records]


def test_fields_of_goflow2_are_named() -> None:
    """Fields 39 to 42 of goflow2's mapping have names."""
    payload = FLOW.SerializeToString() + bytes.fromhex("b80205 c00206 c80201 d00201")

    (record,) = decode(payload)

    assert (5, 6, 1, 1) == tuple(
        record[key] for key in ("ingress_vrf_id", "egress_vrf_id", "biflow_direction", "flow_direction")
    )


def test_times_of_version_1_are_converted() -> None:
    """goflow2 1.x has its times in fields 2, 5 and 38 in seconds, and 63 and 64 in milliseconds."""
    s, ms = 1_705_363_200, 1_705_363_200_500
    varint = varint_bytes
    seconds = b"\x10" + varint(s + 9) + b"\x28" + varint(s) + b"\xb0\x02" + varint(s - 5)
    millis = seconds + b"\xf8\x03" + varint(ms - 7) + b"\x80\x04" + varint(ms)

    (coarse,), (fine,) = decode(FLOW.SerializeToString() + seconds), decode(FLOW.SerializeToString() + millis)

    keys = ("time_received_ns", "time_flow_start_ns", "time_flow_end_ns", "timestamp")
    assert ((s + 9) * 10**9, (s - 5) * 10**9, s * 10**9, s * 10**9) == tuple(coarse[key] for key in keys)
    assert ((s + 9) * 10**9, (ms - 7) * 10**6, ms * 10**6, ms * 10**6) == tuple(fine[key] for key in keys)
    assert "ip_flags" not in coarse


def varint_bytes(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])


@pytest.mark.parametrize(
    "recording",
    [each for each in RECORDINGS if each.kind == "netflow" and each.suffix == ".bin"],
    ids=lambda recording: recording.id,
)
def test_recorded_flows_are_decoded(recording: Recording) -> None:
    """Each framed flow that goflow2 recorded is a record with the addresses that it was expected_source."""
    for part in (recording, *recording.split()):
        records = decode(part.payload)

        assert len(part.records) == len(records)
        assert [expected_source.get("src_addr") for expected_source in part.records] == [
            record.get("src_addr") for record in records
        ]

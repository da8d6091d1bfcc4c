"""Log payloads to records."""

import json

import pytest
from golden_rows import DATA, delivery
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from eventwriter.errors import Poison
from eventwriter.formats.otlp.logs import decode
from eventwriter.model import Record

NS = 1_705_315_800_123_456_789


def records_of(payload: bytes) -> list[Record]:
    return decode(delivery(payload, "logs.otel"))


def export(records: int = 1) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.add(key="service.name").value.string_value = "cart"
    scope = group.scope_logs.add()
    scope.scope.name = "io.example"
    for at in range(records):
        scope.log_records.add(time_unix_nano=NS + at).body.string_value = f"line {at}"
    return request


def test_export_is_flattened_in_order() -> None:
    """Each log record of an export is a record with its resource's and its scope's fields, in the export's order."""
    request = export(2)
    request.resource_logs.add().scope_logs.add().log_records.add().body.string_value = "alone"

    assert [("line 0", "cart", "io.example"), ("line 1", "cart", "io.example"), ("alone", None, None)] == [
        (record["body"], record["service_name"], record["scope_name"])
        for record in records_of(request.SerializeToString())
    ]


def test_both_encodings_are_the_same_records() -> None:
    """An export in JSON has the records that it has in protobuf."""
    binary = records_of((DATA / "logs_otlp_protobuf" / "single.bin").read_bytes())
    values = {
        "custom": {"stringValue": "value"}, "count": {"intValue": "3"}, "zero": {"intValue": 0},
        "no": {"boolValue": False}, "arr": {"arrayValue": {"values": [{"stringValue": "a"}, {"intValue": "1"}]}},
        "map": {"kvlistValue": {"values": [{"key": "x", "value": {"stringValue": "y"}}]}},
    }  # fmt: skip
    resource = {
        "service.name": {"stringValue": "proto-service"}, "service.version": {"stringValue": "0.1.0"},
        "service.instance.id": {"stringValue": "i-1"}, "empty": {"stringValue": ""}, "zero": {"intValue": "0"},
        "ok": {"boolValue": False}, "yes": {"boolValue": True}, "n": {"intValue": "7"}, "d": {"doubleValue": 1.5},
    }  # fmt: skip

    def pairs(found: dict[str, object]) -> list[dict[str, object]]:
        return [{"key": key, "value": value} for key, value in found.items()]

    record = {
        "timeUnixNano": "1705315800123456000", "observedTimeUnixNano": "1705315800200000000", "severityNumber": 9,
        "severityText": "INFO", "body": {"stringValue": "protobuf log"}, "attributes": pairs(values),
        "traceId": "0102030405060708090A0B0C0D0E0F10", "spanId": "0102030405060708", "flags": 1, "eventName": "evt",
    }  # fmt: skip
    scope = {"name": "scope", "version": "1.2.3", "attributes": [{"key": "sa", "value": {"stringValue": "1"}}]}
    groups = [{"resource": {"attributes": pairs(resource)}, "scopeLogs": [{"scope": scope, "logRecords": [record]}]}]
    record["timeUnixNano"] = str(binary[0]["timestamp"])

    assert binary == records_of(json.dumps({"resourceLogs": groups}).encode())


def test_what_is_not_set_is_absent() -> None:
    """Zero means absent in an export; the time is the observed one where it has none of its own."""
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add(observed_time_unix_nano=7)

    assert [
        {
            "resource_attributes": {}, "service_name": None, "service_version": None, "service_instance": None,
            "scope_name": None, "scope_version": None, "scope_attributes": {}, "timestamp": 7,
            "observed_time_unix_nano": 7, "severity_number": None, "severity_text": None, "body": None,
            "attributes": None, "trace_id": None, "span_id": None, "trace_flags": None, "event_name": None,
        }
    ] == records_of(request.SerializeToString())  # fmt: skip


@pytest.mark.parametrize("length", [0x5B, 0x7B], ids=["bracket", "brace"])
def test_protobuf_that_begins_like_json_is_protobuf(length: int) -> None:
    """An export whose first group is as long as the code of a bracket begins with white space and a bracket."""
    request = export()
    padding = request.resource_logs[0].scope_logs[0].log_records[0]
    padding.event_name = "x" * (length - request.resource_logs[0].ByteSize() - 2)
    payload = request.SerializeToString()

    assert payload[:2] == bytes((0x0A, length))
    assert ["line 0"] == [record["body"] for record in records_of(payload)]


def test_nul_in_protobuf_text_is_replaced() -> None:
    """U+0000, which PostgreSQL refuses, becomes U+FFFD, in every text of an export."""
    request = export()
    group = request.resource_logs[0]
    group.resource.attributes[0].value.string_value = "a\0b"
    group.scope_logs[0].scope.name = "s\0"
    record = group.scope_logs[0].log_records[0]
    record.body.string_value = record.severity_text = record.event_name = "x\0"
    record.attributes.add(key="k\0").value.array_value.values.add().string_value = "v\0"

    assert "\0" not in json.dumps(records_of(request.SerializeToString()), ensure_ascii=False)


@pytest.mark.parametrize("payload", [b"[]", b'{"resourceLogs":[]}', b'{"resourceLogs":[{"scopeLogs":[{}]}]}'])
def test_export_without_records_is_no_rows(payload: bytes) -> None:
    """An empty array and an export without records are fine: nothing to write."""
    assert [] == records_of(payload)


def test_array_may_hold_exports_and_records() -> None:
    """An array's elements are taken in turn, whatever each is."""
    payload = b'[{"message":"a"},{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"b"}}]}]}]}]'

    first, second = records_of(payload)

    assert ({"message": "a"}, "b") == (first, second["body"])


def test_spans_are_no_logs() -> None:
    """An export of spans, whose fields have the numbers of a log's but other types, is poison."""
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(trace_id=bytes(16), span_id=b"12345678")

    with pytest.raises(Poison, match="malformed"):
        records_of(request.SerializeToString())


@pytest.mark.parametrize(
    "payload", [b"", b" ", b"null", b"garbage", b"\x12\x00", b'{"resourceLogs":7}', b'{"resourceLogs":["x"]}', b"[1]"]
)
def test_what_is_no_log_is_malformed(payload: bytes) -> None:
    """What is neither JSON objects nor an export is poison."""
    with pytest.raises(Poison) as caught:
        records_of(payload)

    assert "malformed" == caught.value.reason

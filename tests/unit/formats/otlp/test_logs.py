"""Tests of log records in OTLP."""

import json
from typing import Any

import pytest
from golden_rows import DATA
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from otlp_payloads import NS, SPAN_ID, TRACE_ID, as_json_payload

from eventwriter.errors import Poison
from eventwriter.formats.otlp.logs import FIELDS, decode
from eventwriter.model import Message, Record


def records_of(payload: bytes) -> list[Record]:
    return decode(Message("", "logs.otel", payload, None, 1, 1, 1, 1))


def both(request: ExportLogsServiceRequest) -> list[Record]:
    """Return the records of an export; those of its twin in JSON must be equal."""
    records = records_of(request.SerializeToString())

    assert records == records_of(as_json_payload(request))
    return records


def export(records: int = 1) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.add(key="service.name").value.string_value = "cart"
    scope = group.scope_logs.add()
    scope.scope.name = "io.example"
    for number in range(records):
        scope.log_records.add(time_unix_nano=NS + number).body.string_value = f"line {number}"
    return request


def test_export_is_flattened_in_order() -> None:
    """Each log record becomes a record with the fields of its resource and its scope, in the order of the export."""
    request = export(2)
    request.resource_logs.add().scope_logs.add().log_records.add().body.string_value = "alone"

    records = both(request)

    assert [("line 0", "cart", "io.example"), ("line 1", "cart", "io.example"), ("alone", None, None)] == [
        (record["body"], record["service_name"], record["scope_name"]) for record in records
    ]
    assert [set(FIELDS)] * 3 == [set(record) for record in records]


def test_recorded_export_has_the_same_records_in_json() -> None:
    """An export with every kind of attribute has the same records in both encodings."""
    request = ExportLogsServiceRequest.FromString((DATA / "logs_otlp_protobuf" / "single.bin").read_bytes())

    (record,) = both(request)

    assert {"x": "y"} == record["attributes"]["map"]
    assert (0, False) == (record["attributes"]["zero"], record["attributes"]["no"])


def test_absent_fields_are_none() -> None:
    """Zero means absent; the time is the observed one if the record has none of its own."""
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add(observed_time_unix_nano=7)

    assert [
        {
            "resource_attributes": {}, "service_name": None, "service_version": None, "service_instance": None,
            "scope_name": None, "scope_version": None, "scope_attributes": {}, "timestamp": 7,
            "observed_time_unix_nano": 7, "severity_number": None, "severity_text": None, "body": None,
            "attributes": None, "trace_id": None, "span_id": None, "trace_flags": None, "event_name": None,
        }
    ] == both(request)  # fmt: skip


def test_defaults_written_out_are_absent() -> None:
    """Defaults that OTLP/JSON writes out make the same record as absent fields."""
    defaults = {
        "timeUnixNano": "0", "observedTimeUnixNano": "7", "severityNumber": 0, "severityText": "", "attributes": [],
        "droppedAttributesCount": 0, "flags": 0, "traceId": "", "spanId": "0000000000000000", "eventName": "",
        "body": {},
    }  # fmt: skip
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add(observed_time_unix_nano=7)
    payload = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [defaults]}]}]}).encode()

    assert records_of(request.SerializeToString()) == records_of(payload)


def with_severity(number: Any) -> bytes:
    return json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"severityNumber": number}]}]}]}).encode()


@pytest.mark.parametrize(
    ("number", "expected"), [("SEVERITY_NUMBER_ERROR", 17), ("ERROR2", 18), ("17", 17), (9, 9), (99, 99)], ids=str
)
def test_severity_number_may_be_a_name(number: Any, expected: int) -> None:
    """A severity number may be given as a number or as the name of the enum."""
    assert [expected] == [record["severity_number"] for record in records_of(with_severity(number))]


@pytest.mark.parametrize("number", ["LOUD", 1.5, True], ids=str)
def test_other_severity_number_is_a_bad_value(number: Any) -> None:
    """A severity number that cannot be read is a bad value, because it would disappear."""
    with pytest.raises(Poison) as caught:
        records_of(
            json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"severityNumber": number}]}]}]}).encode()
        )

    assert "bad_value" == caught.value.reason


def test_identifiers_of_zeros_are_absent() -> None:
    """Identifiers of zeros only mean that there are none; others are lower-case digits."""
    request = export(2)
    empty, full = request.resource_logs[0].scope_logs[0].log_records
    empty.trace_id, empty.span_id = bytes(16), bytes(8)
    full.trace_id, full.span_id = TRACE_ID, SPAN_ID

    assert [(None, None), (TRACE_ID.hex(), SPAN_ID.hex())] == [
        (record["trace_id"], record["span_id"]) for record in both(request)
    ]


@pytest.mark.parametrize(("field", "value"), [("trace_id", b"short"), ("span_id", bytes(16)), ("trace_id", bytes(8))])
def test_identifier_of_another_length_is_malformed(field: str, value: bytes) -> None:
    """Trace ids have 16 bytes and span ids 8, in both encodings."""
    request = export()
    setattr(request.resource_logs[0].scope_logs[0].log_records[0], field, value)

    for payload in (request.SerializeToString(), as_json_payload(request)):
        if any(value) or payload[:1] != b"{":  # zeros in JSON are absent, whatever their number
            with pytest.raises(Poison) as caught:
                records_of(payload)
            assert "malformed" == caught.value.reason


def test_name_of_former_versions_is_the_event_name() -> None:
    """The name that log records had until 2022 is the event name."""
    request = export()
    log = request.resource_logs[0].scope_logs[0].log_records[0]
    log.MergeFromString(b"\x22\x05login")
    as_json = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"name": "login"}]}]}]}

    assert ["login"] == [record["event_name"] for record in records_of(request.SerializeToString())]
    assert ["login"] == [record["event_name"] for record in records_of(json.dumps(as_json).encode())]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"double_value": float("nan")}, "NaN"), ({"double_value": float("-inf")}, "-Infinity"),
        ({"double_value": 0.0}, "0.0"), ({"bool_value": False}, "false"), ({"int_value": 0}, "0"),
        ({"bytes_value": b"\x00\xff"}, "AP8="), ({"string_value": ""}, None),
    ],
    ids=str,
)  # fmt: skip
def test_body_becomes_text(body: dict[str, Any], expected: str | None) -> None:
    """A body of any kind becomes text; one that is not a number is not the text of null."""
    request = export()
    log = request.resource_logs[0].scope_logs[0].log_records[0]
    log.ClearField("body")
    for field, value in body.items():
        setattr(log.body, field, value)

    assert [expected] == [record["body"] for record in both(request)]


@pytest.mark.parametrize("length", [0x5B, 0x7B], ids=["bracket", "brace"])
def test_protobuf_that_begins_like_json_is_protobuf(length: int) -> None:
    """An export whose first group is as long as the code of a bracket begins with white space and a bracket."""
    request = export()
    padded = request.resource_logs[0].scope_logs[0].log_records[0]
    padded.event_name = "x" * (length - request.resource_logs[0].ByteSize() - 2)
    payload = request.SerializeToString()

    assert payload[:2] == bytes((0x0A, length))
    assert ["line 0"] == [record["body"] for record in records_of(payload)]


def test_nul_in_protobuf_text_is_replaced() -> None:
    """U+0000, which PostgreSQL rejects, becomes U+FFFD in every text of an export."""
    request = export()
    group = request.resource_logs[0]
    group.resource.attributes[0].value.string_value = "a\0b"
    group.scope_logs[0].scope.name = "s\0"
    record = group.scope_logs[0].log_records[0]
    record.body.string_value = record.severity_text = record.event_name = "x\0"
    record.attributes.add(key="k\0").value.array_value.values.add().string_value = "v\0"

    assert "\0" not in json.dumps(records_of(request.SerializeToString()), ensure_ascii=False)


def test_array_may_hold_exports_and_records() -> None:
    """Each object of an array is decoded by itself."""
    payload = b'[{"message":"a"},' + as_json_payload(export()) + b"]"

    first, second = records_of(payload)

    assert ({"message": "a"}, "line 0") == (first, second["body"])

"""Tests of the rows of `ocsf_events` that are built from logs."""

import json
from typing import Any

import pytest
from golden_rows import ORIGIN, delivery, readable

from eventwriter.errors import Poison
from eventwriter.kinds.registry import KINDS
from eventwriter.model import Adjustments
from eventwriter.tables.ocsf.events_from_logs import OCSF_EVENTS_FROM_LOGS, address_in
from eventwriter.tables.table import Build


def row_of(record: dict[str, Any], version: str = "1.3.0", **options: Any) -> dict[str, Any]:
    message = delivery(json.dumps(record).encode(), "logs.syslog.processed")
    build = Build(ORIGIN, Adjustments(), frozenset(), version, frozenset({"community"}), options)
    [decoded] = KINDS["logs"].decode(message)
    return readable(OCSF_EVENTS_FROM_LOGS, OCSF_EVENTS_FROM_LOGS.builder(build)(decoded, message, 0) or ())


@pytest.mark.parametrize(
    ("number", "severity"),
    [
        (None, (0, "Unknown")), (1, (1, "Informational")), (9, (1, "Informational")), (10, (2, "Low")),
        (12, (2, "Low")), (13, (3, "Medium")), (16, (3, "Medium")), (17, (4, "High")), (18, (5, "Critical")),
        (20, (5, "Critical")), (21, (6, "Fatal")), (24, (6, "Fatal")),
    ],
)  # fmt: skip
def test_severity(number: int | None, severity: tuple[int, str]) -> None:
    """Each severity number of OpenTelemetry has a severity of OCSF."""
    row = row_of({"message": "x", "severity_number": number})

    assert severity == (row["severity_id"], row["severity"])


def test_log_is_event_log_activity() -> None:
    """A log has class 1008, activity Create; fields without a column are unmapped."""
    row = row_of(
        {
            "message": "x", "timestamp": "2024-01-15T10:50:00Z", "level": 3, "host": "h", "service_name": "s",
            "scope": {"name": "sc", "version": "1"}, "event_name": "e", "a": 1, "traceId": "t", "span_id": "sp",
        }
    )  # fmt: skip

    assert (1008, 1, 100801, 1, "Create", "x") == tuple(
        row[k] for k in ("class_uid", "category_uid", "type_uid", "activity_id", "activity_name", "message")
    )
    assert ("logs.syslog.processed", "s", "ERROR", "1", "t", "sp") == tuple(
        row[k] for k in ("log_name", "log_provider", "log_level", "log_version", "trace_id", "span_id")
    )
    assert ({"hostname": "h"}, {"app_name": "s"}) == (row["device"], row["actor"])
    assert {
        "attributes": {"a": 1}, "resource_attributes": {"host": "h"}, "scope_name": "sc", "event_name": "e",
        "source": "syslog",
    } == row["unmapped"]  # fmt: skip
    assert "2024-01-15T10:50:00Z" == row["metadata"]["original_time"]


def test_metadata_has_the_configured_version() -> None:
    """Rows have the configured version of OCSF; a payload without a time has no original time."""
    metadata = row_of({"message": "x"}, version="1.5.0")["metadata"]

    assert {"version", "product", "logged_time", "correlation_uid"} == set(metadata)
    assert ("1.5.0", "2025-01-01T02:53:20.123456Z") == (metadata["version"], metadata["logged_time"])


@pytest.mark.parametrize(
    ("record", "observables"),
    [
        ({"host": "h", "ip": "10.0.0.1"}, [("h", 1), ("10.0.0.1", 2)]),
        ({"hostname": "h", "_remote_addr": "default:10.0.0.1:514"}, [("h", 1), ("10.0.0.1", 2)]),
        ({"source": "10.0.0.1:161"}, [("10.0.0.1", 2)]),
        ({"resource": {"host.name": "h", "host.ip": ["::1", "10.0.0.1"]}}, [("h", 1), ("::1", 2)]),
        ({"host": 5, "ip": "nowhere", "source": "snmp"}, []),
    ],
)
def test_observables(record: dict[str, Any], observables: list[tuple[str, int]]) -> None:
    """Host name and address of the sender are observables."""
    assert observables == [(one["name"], one["type_id"]) for one in row_of({"message": "x", **record})["observables"]]


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("10.0.0.1", "10.0.0.1"), (" 10.0.0.1:514 ", "10.0.0.1"), ("p:10.0.0.1:514", "10.0.0.1"),
        ("p:10.0.0.1", "10.0.0.1"), ("2001:db8::1", "2001:db8::1"), ("[2001:db8::1]:514", "2001:db8::1"),
        ("p:[2001:db8::1]:514", "2001:db8::1"), ("p", None), ("", None), (167772161, None), ([], None), (None, None),
    ],
)  # fmt: skip
def test_address(value: object, address: str | None) -> None:
    """An address is recognized with and without port and partition."""
    assert address == address_in(value)


def test_ocsf_log_keeps_its_class() -> None:
    """A log that is an OCSF event keeps its class, and must have the required fields."""
    event = {"id": "e-1", "class_uid": 3001, "category_uid": 3, "activity_id": 2, "message": "x", "severity_id": 4}
    row = row_of(event)

    assert (3001, 300102, "High") == (row["class_uid"], row["type_uid"], row["severity"])
    assert "e-1" == row["metadata"]["uid"]
    with pytest.raises(Poison, match="missing_field"):
        row_of({**event, "activity_id": None})


def test_null_class_is_absence() -> None:
    """A log whose class is null is not an OCSF event."""
    assert 1008 == row_of({"message": "x", "class_uid": None})["class_uid"]


def test_record_is_kept_on_request() -> None:
    """With keep_raw the JSON of the record is stored, without secrets."""
    assert row_of({"message": "x"})["raw_data"] is None
    assert '{"message":"x","a":{}}' == row_of({"message": "x", "a": {"community": "s"}}, keep_raw=True)["raw_data"]


def test_each_message_has_its_own_metadata_and_secrets() -> None:
    """Cached values of one message and one sender are not used for the next."""
    make = OCSF_EVENTS_FROM_LOGS.builder(Build(ORIGIN, Adjustments(), frozenset(), redact=frozenset({"community"})))
    payloads = (
        b'{"message":"x","host":"h"}',
        b'{"message":"y","community":"s3cret","_remote_addr":"10.0.0.1"}',
        b'{"message":"z","_remote_addr":"10.0.0.2"}',
    )
    rows = []
    for at, payload in enumerate(payloads):
        message = delivery(payload, f"logs.m{at}")
        [record] = KINDS["logs"].decode(message)
        rows.append(readable(OCSF_EVENTS_FROM_LOGS, make(record, message, 0) or ()))

    assert ["logs.m0", "logs.m1", "logs.m2"] == [row["metadata"]["correlation_uid"] for row in rows]
    assert [{"hostname": "h"}, {}, {}] == [row["device"] for row in rows]
    assert ["h", "10.0.0.1", "10.0.0.2"] == [row["observables"][0]["name"] for row in rows]
    assert "s3cret" not in repr(rows)


def test_redacted_keys_are_left_out_of_pairs() -> None:
    """Keys of `redact` are removed from attributes that are pairs in text."""
    row = row_of({"message": "x", "attributes": "community=s3cret,a=b", "resource": "a=b,Community=s3cret"})

    assert ({"a": "b"}, {"a": "b"}) == (row["unmapped"]["attributes"], row["unmapped"]["resource_attributes"])


def test_fields_without_a_column_are_unmapped() -> None:
    """Scope attributes, flags, the observed time, and a severity number that the text does not imply are unmapped."""
    row = row_of(
        {
            "message": "x", "severity_text": "INFO", "severity_number": 11, "scope_attributes": {"a": 1},
            "trace_flags": 1, "observed_timestamp": "2024-01-15T10:50:01Z", "timestamp": "2024-01-15T10:50:00Z",
            "service_version": "2", "service_instance": "i",
        }
    )  # fmt: skip

    assert {
        "severity_number": 11, "scope_attributes": {"a": 1}, "trace_flags": 1, "service_version": "2",
        "observed_time": "2024-01-15T10:50:01Z", "service_instance": "i", "source": "syslog",
    } == row["unmapped"]  # fmt: skip

"""Tests of the rows of OCSF events and SNMP traps."""

import json
from typing import Any

import orjson
import pytest
from golden_rows import ORIGIN, delivery, readable, rows_of

from eventwriter.errors import Poison
from eventwriter.model import Adjustments
from eventwriter.tables.ocsf.events import OCSF_EVENTS, ocsf_row
from eventwriter.tables.redaction import Redactor
from eventwriter.tables.table import Build

NEEDED = {"id": "c0b2f5af-7d5d-4c1a-8c5b-7c6a9f4c94b2", "class_uid": 1008, "category_uid": 1, "activity_id": 1}


def event(
    fields: dict[str, Any], adjustments: Adjustments | None = None, options: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the row of an event: `NEEDED` and these fields."""
    message = delivery(json.dumps({**NEEDED, "time": 1_704_067_200, **fields}).encode(), "events.x")
    [(table, row)] = rows_of("events", message, adjustments, options)
    assert table is OCSF_EVENTS
    return readable(table, row)


def poisoned(fields: dict[str, Any]) -> str:
    with pytest.raises(Poison) as caught:
        event(fields)
    return str(caught.value)


def test_activity_zero_is_an_activity() -> None:
    """0, which means Unknown in OCSF, is a valid activity, class and category."""
    row = event({"class_uid": 0, "category_uid": 0, "activity_id": 0})

    assert (0, 0, 0, 0) == (row["class_uid"], row["category_uid"], row["activity_id"], row["type_uid"])


@pytest.mark.parametrize("name", ["category_uid", "activity_id"])
@pytest.mark.parametrize(("absent", "reason"), [(None, "missing_field"), ("", "bad_value")])
def test_missing_required_field_is_poison(name: str, absent: str | None, reason: str) -> None:
    """An event without a required field makes a dead letter that names the field."""
    assert poisoned({name: absent}).startswith(f"{reason}: {name}")


def test_all_missing_fields_are_named() -> None:
    """The dead letter names all missing fields."""
    assert poisoned(dict.fromkeys(("category_uid", "activity_id"))).startswith(
        "missing_field: category_uid, activity_id"
    )


def test_class_that_is_not_an_integer_is_poison() -> None:
    """A class that is not an integer makes a dead letter."""
    assert poisoned({"class_uid": "many"}).startswith("bad_value: class_uid")


@pytest.mark.parametrize("value", [2004, 2004.0, "2004", " 2004 ", "2004.0"])
def test_numbers_are_read_in_every_form(value: object) -> None:
    """Integers may be written as floats or text."""
    row = event({"class_uid": value, "type_uid": value, "severity_id": "3", "status_id": 2.0})

    assert (2004, 2004, 3, 2, "Medium") == tuple(
        row[k] for k in ("class_uid", "type_uid", "severity_id", "status_id", "severity")
    )


@pytest.mark.parametrize("given", [None, "junk", []])
def test_missing_type_is_computed(given: object) -> None:
    """The type is class × 100 + activity if the payload has no readable one."""
    assert 200405 == event({"class_uid": 2004, "activity_id": "5", "type_uid": given})["type_uid"]


def test_numbers_out_of_range_are_clamped() -> None:
    """Numbers beyond the range of their columns are clamped and counted; the originals are unmapped."""
    adjustments = Adjustments()
    row = event({"class_uid": 2**40, "status_id": -(2**40), "severity_id": 2**31}, adjustments)

    assert (2**31 - 1, 2**31 - 1, -(2**31), 2**31 - 1) == tuple(
        row[k] for k in ("class_uid", "type_uid", "status_id", "severity_id")
    )
    assert dict.fromkeys(("class_uid", "status_id", "severity_id"), 1) == adjustments.clamped_by_column
    assert {"class_uid": 2**40, "status_id": -(2**40), "severity_id": 2**31} == row["unmapped"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (1, "Informational")),
        ({"severity_id": None, "severity": None}, (1, "Informational")),
        ({"severity_id": "junk"}, (1, "Informational")),
        ({"severity_id": 0}, (0, "Unknown")),
        ({"severity_id": 6}, (6, "Fatal")),
        ({"severity_id": 99}, (99, "Other")),
        ({"severity_id": 42}, (42, "Unknown")),
        ({"severity_id": 2, "severity": "my own"}, (2, "my own")),
        ({"severity_id": 2, "severity": ""}, (2, "")),
        ({"severity": "HIGH"}, (4, "HIGH")),
        ({"severity": "my own"}, (1, "my own")),
        ({"severityId": 5}, (5, "Critical")),
        ({"severity": "offline"}, (5, "offline")),
        ({"unmapped": {"previous_state": "healthy", "current_state": "offline"}}, (5, "Critical")),
        ({"unmapped": {"previous_state": "healthy", "current_state": "degraded"}, "x": 1}, (3, "Medium")),
    ],
)
def test_severity_has_number_and_name(fields: dict[str, Any], expected: tuple[int, str]) -> None:
    """A missing number or name follows from the other one, or from the state of a gateway; else it is Informational."""
    row = event(fields)

    assert expected == (row["severity_id"], row["severity"])


def test_camel_case_is_read() -> None:
    """Fields may have camelCase names; the snake_case name is preferred unless it is null, and the other is kept."""
    camel = {
        "classUid": 3002, "class_uid": None, "categoryUid": 3, "category_uid": None, "activityId": 2,
        "activity_id": None, "activityName": "Logoff", "statusId": 1, "statusCode": "c", "statusDetail": "d",
        "traceId": "t", "spanId": "s", "srcEndpoint": {"ip": "1.1.1.1"}, "dstEndpoint": {"ip": "2.2.2.2"},
        "logName": "n", "logProvider": "p", "logLevel": "l", "logVersion": "v", "rawData": "raw", "severity_id": 3,
        "severityId": 5,
    }  # fmt: skip
    row = event(camel)

    assert {
        "class_uid": 3002, "category_uid": 3, "activity_id": 2, "type_uid": 300202, "activity_name": "Logoff",
        "status_id": 1, "status_code": "c", "status_detail": "d", "trace_id": "t", "span_id": "s",
        "src_endpoint": {"ip": "1.1.1.1"}, "dst_endpoint": {"ip": "2.2.2.2"}, "log_name": "n", "log_provider": "p",
        "log_level": "l", "log_version": "v", "raw_data": "raw", "severity_id": 3, "unmapped": {"severityId": 5},
    }.items() <= row.items()  # fmt: skip


def test_absent_fields_have_their_defaults() -> None:
    """A missing JSON value is an empty object or list, not NULL; the name of the log is the subject."""
    row = event({"actor": None, "observables": None})

    assert {name: {} for name in ("actor", "device", "src_endpoint", "dst_endpoint", "unmapped")}.items() <= row.items()
    assert ([], "events.x", None) == (row["observables"], row["log_name"], row["raw_data"])


def test_json_in_text_is_parsed() -> None:
    """Text that contains JSON is parsed for JSON columns."""
    row = event({"metadata": '{"version":"1.1.0"}', "unmapped": '{"a":1}', "observables": '[{"name":"x"}]'})

    assert ("1.1.0", "events.x") == (row["metadata"]["version"], row["metadata"]["correlation_uid"])
    assert ({"a": 1}, [{"name": "x"}]) == (row["unmapped"], row["observables"])


def test_text_columns_take_anything() -> None:
    """Numbers, booleans and objects are stored in text columns as JSON; an empty identifier is absent."""
    row = event({"message": {"a": [1]}, "status": True, "status_code": 404, "trace_id": ""})

    assert ('{"a":[1]}', "true", "404", None) == tuple(row[k] for k in ("message", "status", "status_code", "trace_id"))


def test_fields_without_a_column_are_unmapped() -> None:
    """Fields without a column are stored in `unmapped`, next to its own fields; the tenant is not stored."""
    row = event(
        {"tenant_id": "t", "count": 3, "actor": {}, "who": '["x"]', "gone": None, "unmapped": {"who": 1, "a": 2}}
    )

    assert {"count": 3, "payload.who": ["x"], "who": 1, "a": 2} == row["unmapped"]


@pytest.mark.parametrize("unmapped", [["x"], "text", 0])
def test_unmapped_that_is_no_object_is_kept(unmapped: object) -> None:
    """An `unmapped` that is not an object is stored under its own name."""
    assert {"unmapped": unmapped} == event({"unmapped": unmapped})["unmapped"]
    assert {"count": 3, "unmapped": unmapped} == event({"unmapped": unmapped, "count": 3})["unmapped"]


@pytest.mark.parametrize("metadata", [["x"], "text", 7])
def test_metadata_that_is_no_object_is_unmapped(metadata: object) -> None:
    """Metadata that is not an object is unmapped, and the column has the required attributes."""
    row = event({"metadata": metadata})

    assert {"metadata": metadata} == row["unmapped"]
    assert {"version", "product", "logged_time", "correlation_uid"} == set(row["metadata"])


def test_id_that_is_no_uuid_is_kept() -> None:
    """An id that is not a UUID becomes always the same one; the original is `metadata.uid`."""
    row = event({"id": "event-123", "metadata": {"version": "1.0.0"}})

    assert ("5744bad0-2593-56d8-9d7d-86f24777e9e9", "event-123") == (row["id"], row["metadata"]["uid"])
    assert row["id"] == event({"id": "event-123", "time": 5})["id"]


def test_id_besides_an_uid_is_unmapped() -> None:
    """If the metadata has another uid, that stays, and the id is unmapped."""
    row = event({"id": 17, "metadata": {"uid": "own"}})

    assert ("own", {"id": "17"}) == (row["metadata"]["uid"], row["unmapped"])


def test_time_is_also_called_timestamp() -> None:
    """`time` is preferred to `timestamp`; without either the JetStream timestamp is used and counted."""
    adjustments = Adjustments()
    rows = [event({"time": t, "timestamp": s}, adjustments)["time"] for t, s in ((5, 7), (None, 7), (None, None))]

    assert ["1970-01-01T00:00:05Z", "1970-01-01T00:00:07Z", "2025-01-01T02:53:20.123456Z"] == rows
    assert 1 == adjustments.timestamp_defaulted


@pytest.mark.parametrize("raw", [True, "true", 1])
def test_payload_is_kept_on_request(raw: object) -> None:
    """`keep_raw` stores the unchanged text of the payload, unless it has `raw_data` itself."""
    row = event({"n": 1}, options={"keep_raw": raw})

    assert {**NEEDED, "time": 1_704_067_200, "n": 1} == json.loads(row["raw_data"])
    assert ": " in row["raw_data"]
    assert "mine" == event({"raw_data": "mine"}, options={"keep_raw": raw})["raw_data"]


def test_kept_payload_holds_no_secret() -> None:
    """A kept payload has no secrets, and each record of an array is kept separately."""
    secret = {"community": "s3cret", "raw": '{"Community": "s3cret", "b": 1}'}
    message = delivery(json.dumps([{**NEEDED, **secret}, {**NEEDED, "n": 2}]).encode(), "events.x")
    raw = [json.loads(readable(*made)["raw_data"]) for made in rows_of("events", message, options={"keep_raw": True})]

    assert [{**NEEDED, "raw": '{"b":1}'}, {**NEEDED, "n": 2}] == raw


@pytest.mark.parametrize("field", [column.name for column in OCSF_EVENTS.columns if column.type in ("text", "jsonb")])
def test_redacted_key_is_in_no_column(field: str) -> None:
    """A key of `redact` is in no column: neither in an object, nor in JSON text, nor in JSON text within an object."""
    for value in (
        {"a": [{"Community": "s3cret"}]},
        '{"community": "s3cret"}',
        {"a": '{"community": "s3cret"}'},
        '{"a": "{\\"community\\": \\"s3cret\\"}"}',
    ):
        assert "s3cret" not in repr(event({field: value, "other": value}))


def test_trap_becomes_an_event_with_its_own_id() -> None:
    """Traps get ids from stream sequence and index; their community is removed even without `redact`."""
    trap = {"source": "10.0.0.1:161", "community": "s3cret", "varbinds": [{"value": "A: x", "community": "s3cret"}]}
    message = delivery(json.dumps([trap, {**trap, "id": ""}, {**trap, "id": NEEDED["id"]}]).encode(), "events.snmp")
    make = OCSF_EVENTS.builder(Build(ORIGIN, Adjustments(), frozenset()))
    rows = [readable(OCSF_EVENTS, make(json.loads(message.payload)[n], message, n)) for n in range(3)]

    assert 3 == len({row["id"] for row in rows})
    assert NEEDED["id"] == rows[2]["id"]
    assert "s3cret" not in repr(rows)
    assert ("x", {"ip": "10.0.0.1", "port": 161}) == (rows[0]["message"], rows[0]["src_endpoint"])


def test_secret_in_the_json_of_a_varbind_is_not_the_message() -> None:
    """A varbind whose value is JSON loses its secrets before its text becomes the message."""
    trap = {"varbinds": [{"value": '{"community": "s3cret"}'}]}
    message = delivery(json.dumps(trap).encode(), "events.snmp")
    make = OCSF_EVENTS.builder(Build(ORIGIN, Adjustments(), frozenset()))

    assert "s3cret" not in repr(make(trap, message, 0))


def test_other_kinds_can_build_rows_of_ocsf_records() -> None:
    """The exported row builder builds the same row as that of the table."""
    message, build = delivery(json.dumps(NEEDED).encode(), "logs.x"), Build(ORIGIN, Adjustments(), frozenset())

    assert OCSF_EVENTS.builder(build)(NEEDED, message, 0) == ocsf_row(build, Redactor(frozenset()))(NEEDED, message, 0)


@pytest.mark.parametrize("given", [None, "", " "])
def test_id_comes_from_the_metadata(given: object) -> None:
    """An event without an id, which OCSF does not define, has the id in `metadata.uid`."""
    row = event({"id": given, "metadata": {"uid": "event-123"}})

    assert ("5744bad0-2593-56d8-9d7d-86f24777e9e9", "event-123") == (row["id"], row["metadata"]["uid"])


def test_event_without_any_id_gets_one() -> None:
    """An event without an id gets one from stream sequence and index, the same at each delivery."""
    assert "5c69e4cc-a13a-8c2d-8000-000000007000" == event({"id": None})["id"] == event({"id": None})["id"]


@pytest.mark.parametrize(
    ("fields", "time"),
    [
        ({"time": 1_767_225_600_123_456}, "2026-01-01T00:00:00.123456Z"),
        ({"time": 1_767_225_600_123}, "2026-01-01T00:00:00.123000Z"),
        ({"time": "junk", "timestamp": 1_767_225_600}, "2026-01-01T00:00:00Z"),
        ({"time": None, "time_dt": "2026-01-01T00:00:00Z"}, "2026-01-01T00:00:00Z"),
    ],
)
def test_time_is_the_first_readable_one(fields: dict[str, Any], time: str) -> None:
    """The time may be in microseconds; an unreadable one gives way to another name, and is unmapped."""
    row = event(fields)

    assert time == row["time"]
    assert ("time" in row["unmapped"]) == (fields["time"] == "junk")


@pytest.mark.parametrize(
    ("given", "stored", "unmapped"),
    [
        ({"name": "x"}, [{"name": "x"}], {}),
        ('[{"name":"x"}]', [{"name": "x"}], {}),
        ("x", [], {"observables": "x"}),
        (7, [], {"observables": 7}),
    ],
)
def test_observables_are_an_array(given: Any, stored: Any, unmapped: Any) -> None:
    """The column is always an array; an object becomes its only element, and anything else is unmapped."""
    row = event({"observables": given})

    assert (stored, unmapped) == (row["observables"], row["unmapped"])


@pytest.mark.parametrize("name", ["actor", "device", "src_endpoint", "dst_endpoint"])
def test_object_columns_are_objects(name: str) -> None:
    """A value that is not an object is unmapped and counted."""
    adjustments = Adjustments()
    row = event({name: "x"}, adjustments)

    assert ({}, {name: "x"}) == (row[name], row["unmapped"])
    assert {name: 1} == adjustments.nulled_by_column


def test_identifiers_are_normalized() -> None:
    """Identifiers of trace and span are lower case without `0x`; zeros mean that there is none."""
    row = event({"trace_id": "0x4BF92F3577B34DA6A3CE929D0E0E4736", "span_id": "0" * 16})

    assert ("4bf92f3577b34da6a3ce929d0e0e4736", None) == (row["trace_id"], row["span_id"])


@pytest.mark.parametrize(
    "payload",
    [
        b'{"id":"x","class_uid":1,"category_uid":1,"activity_id":1,"a":"\\u0000"}',
        b'{"id":"x","class_uid":1,"category_uid":1,"activity_id":1,"a":"\\ud800"}',
        b'{"id":"x","class_uid":1,"category_uid":1,"activity_id":1,"a":NaN}',
        b'{"id":"x","class_uid":1,"category_uid":1,"activity_id":1,"raw_data":"{\\"a\\":\\"\\\\u0000\\"}"}',
    ],
)
def test_raw_data_can_be_cast_to_jsonb(payload: bytes) -> None:
    """Raw data that is JSON has neither an escaped U+0000, nor lone surrogates, nor NaN."""
    [(table, row)] = rows_of("events", delivery(payload, "events.x"), options={"keep_raw": True})

    raw = readable(table, row)["raw_data"]

    assert "\\u0000" not in raw
    assert orjson.loads(raw)


COMMUNITY_OID = "1.3.6.1.6.3.18.1.4.0"


@pytest.mark.parametrize(
    "fields",
    [
        {"community": "s3cret"}, {"_community": "s3cret"}, {"snmp_community": "s3cret"}, {"communityString": "s3cret"},
        {"community_string": "s3cret"}, {"_snmpCommunity": "s3cret"}, {"attributes": {"snmp.community": "s3cret"}},
        {"varbinds": [{"oid": COMMUNITY_OID, "value": "OCTET STRING: s3cret"}]},
        {"varbinds": [{"oid": f".{COMMUNITY_OID}", "value": "s3cret"}, {"oid": "1.3", "value": "STRING: ok"}]},
        {"varbinds": [{"name": "SNMP-COMMUNITY-MIB::snmpTrapCommunity.0", "val": "s3cret"}]},
        {"varbinds": [[COMMUNITY_OID, "s3cret"]]},
        {"varbinds": {COMMUNITY_OID: "s3cret"}},
        {"body": f"{COMMUNITY_OID} = STRING: \"s3cret\""},
        {"message": "TRAP2, SNMP v2c, community s3cret"},
    ],
)  # fmt: skip
def test_community_is_stored_nowhere(fields: dict[str, Any]) -> None:
    """An SNMP community is in no column under any of its names, without `redact`, and is counted."""
    trap = {"source": "10.0.0.1:161", "varbinds": [{"oid": "1.3", "value": "STRING: text"}], **fields}
    message = delivery(json.dumps(trap).encode(), "events.snmp")
    adjustments = Adjustments()
    make = OCSF_EVENTS.builder(Build(ORIGIN, adjustments, frozenset(), options={"keep_raw": True}))

    row = make(trap, message, 0)

    assert "s3cret" not in repr(row)
    assert {"snmp_community": 1} == adjustments.redacted_by_key


def test_community_without_snmp_is_kept() -> None:
    """In an event that has nothing to do with SNMP, `community` is an ordinary key."""
    record = {**NEEDED, "community": "Berlin", "message": "city report"}
    make = OCSF_EVENTS.builder(Build(ORIGIN, Adjustments(), frozenset()))

    row = make(record, delivery(json.dumps(record).encode(), "events.x"), 0)

    assert {"community": "Berlin"} == readable(OCSF_EVENTS, row or ())["unmapped"]


def test_unreadable_time_of_a_trap_is_kept() -> None:
    """A trap whose time is unreadable has its timestamp, and keeps the time."""
    trap = {"varbinds": [{"value": "x"}], "time": "soon", "timestamp": 1_767_225_600}
    message = delivery(json.dumps(trap).encode(), "events.snmp")
    row = OCSF_EVENTS.builder(Build(ORIGIN, Adjustments(), frozenset()))(trap, message, 0)

    stored = readable(OCSF_EVENTS, row or ())

    assert ("2026-01-01T00:00:00Z", "soon") == (stored["time"], stored["unmapped"]["time"])

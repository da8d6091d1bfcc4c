"""Rows of OCSF events and of SNMP traps."""

import json
from typing import Any

import pytest
from golden_rows import ORIGIN, delivery, readable, rows_of

from eventwriter.errors import Poison
from eventwriter.model import Adjustments
from eventwriter.tables.ocsf.events import OCSF_EVENTS, ocsf_row
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
    """0, OCSF's Unknown, is a value: of activity, class and category alike."""
    row = event({"class_uid": 0, "category_uid": 0, "activity_id": 0})

    assert (0, 0, 0, 0) == (row["class_uid"], row["category_uid"], row["activity_id"], row["type_uid"])


@pytest.mark.parametrize("name", ["id", "category_uid", "activity_id"])
@pytest.mark.parametrize("absent", [None, ""])
def test_required_field_that_is_missing_is_poison(name: str, absent: str | None) -> None:
    """An event without one of what it needs is a dead letter that names it; '' is no id."""
    reason = "bad_value" if absent == "" and name != "id" else "missing_field"

    assert poisoned({name: absent}).startswith(f"{reason}: {name}")


def test_all_missing_fields_are_named() -> None:
    """The dead letter names everything that is missing."""
    assert poisoned(dict.fromkeys(("id", "category_uid", "activity_id"))).startswith(
        "missing_field: id, category_uid, activity_id"
    )


def test_junk_in_a_required_number_is_poison() -> None:
    """A class that is no integer is a dead letter, not a guess."""
    assert poisoned({"class_uid": "many"}).startswith("bad_value: class_uid")


@pytest.mark.parametrize("value", [2004, 2004.0, "2004", " 2004 ", "2004.0"])
def test_numbers_are_read_in_every_form(value: object) -> None:
    """Integers come as such, as floats, or as text."""
    row = event({"class_uid": value, "type_uid": value, "severity_id": "3", "status_id": 2.0})

    assert (2004, 2004, 3, 2, "Medium") == tuple(
        row[k] for k in ("class_uid", "type_uid", "severity_id", "status_id", "severity")
    )


@pytest.mark.parametrize("given", [None, "junk", []])
def test_type_is_computed_where_it_is_missing(given: object) -> None:
    """Class times 100 plus activity is the type, where the payload names none that can be read."""
    assert 200405 == event({"class_uid": 2004, "activity_id": "5", "type_uid": given})["type_uid"]


def test_numbers_out_of_range_are_cut() -> None:
    """Numbers beyond the columns' range are cut and counted, the computed type too."""
    adjustments = Adjustments()
    row = event({"class_uid": 2**40, "status_id": -(2**40), "severity_id": 2**31}, adjustments)

    assert (2**31 - 1, 2**31 - 1, -(2**31), 2**31 - 1) == tuple(
        row[k] for k in ("class_uid", "type_uid", "status_id", "severity_id")
    )
    assert 4 == adjustments.clamped


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
    ],
)
def test_severity_has_number_and_name(fields: dict[str, Any], expected: tuple[int, str]) -> None:
    """Each of number and name follows from the other where it is missing; without both it is Informational."""
    row = event(fields)

    assert expected == (row["severity_id"], row["severity"])


def test_camel_case_is_read() -> None:
    """Every field is found under its camelCase name too; the snake_case one wins, null does not count."""
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
        "log_level": "l", "log_version": "v", "raw_data": "raw", "severity_id": 3, "unmapped": {},
    }.items() <= row.items()  # fmt: skip


def test_absent_fields_have_their_defaults() -> None:
    """JSON that is absent is an empty object or list, never NULL; the log's name is the subject."""
    row = event({"actor": None, "observables": None})

    assert {name: {} for name in ("actor", "device", "src_endpoint", "dst_endpoint", "unmapped")}.items() <= row.items()
    assert ([], "events.x", None) == (row["observables"], row["log_name"], row["raw_data"])


def test_json_in_text_is_parsed() -> None:
    """JSON columns take text that is JSON as what it says."""
    row = event({"metadata": '{"version":"1.1.0"}', "unmapped": '{"a":1}', "observables": '[{"name":"x"}]'})

    assert ("1.1.0", "events.x") == (row["metadata"]["version"], row["metadata"]["correlation_uid"])
    assert ({"a": 1}, [{"name": "x"}]) == (row["unmapped"], row["observables"])


def test_text_columns_take_anything() -> None:
    """Text columns hold numbers, booleans and objects as their JSON."""
    row = event({"message": {"a": [1]}, "status": True, "status_code": 404, "trace_id": ""})

    assert ('{"a":[1]}', "true", "404", "") == tuple(row[k] for k in ("message", "status", "status_code", "trace_id"))


def test_what_has_no_column_is_unmapped() -> None:
    """Fields without a column are kept in `unmapped`, where what the payload says itself wins; a tenant is not."""
    row = event(
        {"tenant_id": "t", "count": 3, "actor": {}, "who": '["x"]', "gone": None, "unmapped": {"who": 1, "a": 2}}
    )

    assert {"count": 3, "who": 1, "a": 2} == row["unmapped"]


@pytest.mark.parametrize("unmapped", [["x"], "text", 0])
def test_unmapped_that_is_no_object_is_kept(unmapped: object) -> None:
    """An `unmapped` that is no object is stored as it is, or under its own name where others join it."""
    assert unmapped == event({"unmapped": unmapped})["unmapped"]
    assert {"count": 3, "unmapped": unmapped} == event({"unmapped": unmapped, "count": 3})["unmapped"]


@pytest.mark.parametrize("metadata", [["x"], "text", 7])
def test_metadata_that_is_no_object_is_unmapped(metadata: object) -> None:
    """Metadata that is no object is kept in `unmapped`; the column holds what it must."""
    row = event({"metadata": metadata})

    assert {"metadata": metadata} == row["unmapped"]
    assert {"version", "product", "logged_time", "correlation_uid"} == set(row["metadata"])


def test_id_that_is_no_uuid_is_kept() -> None:
    """An id that is no UUID becomes one, always the same; the original is `metadata.uid`."""
    row = event({"id": "event-123", "metadata": {"version": "1.0.0"}})

    assert ("5744bad0-2593-56d8-9d7d-86f24777e9e9", "event-123") == (row["id"], row["metadata"]["uid"])
    assert row["id"] == event({"id": "event-123", "time": 5})["id"]


def test_id_besides_an_uid_is_unmapped() -> None:
    """Where the metadata has an uid of its own, that stays, and the id is kept in `unmapped`."""
    row = event({"id": 17, "metadata": {"uid": "own"}})

    assert ("own", {"id": "17"}) == (row["metadata"]["uid"], row["unmapped"])


def test_time_is_also_looked_for_as_timestamp() -> None:
    """`time` wins over `timestamp`; without either the message's JetStream timestamp is counted as a default."""
    adjustments = Adjustments()
    rows = [event({"time": t, "timestamp": s}, adjustments)["time"] for t, s in ((5, 7), (None, 7), (None, None))]

    assert ["1970-01-01T00:00:05Z", "1970-01-01T00:00:07Z", "2025-01-01T02:53:20.123456Z"] == rows
    assert 1 == adjustments.timestamp_defaulted


@pytest.mark.parametrize("raw", [True, "true", 1])
def test_payload_is_kept_where_it_is_asked_for(raw: object) -> None:
    """`keep_raw` stores the payload's text as it came, except where the payload has raw data itself."""
    row = event({"n": 1}, options={"keep_raw": raw})

    assert {**NEEDED, "time": 1_704_067_200, "n": 1} == json.loads(row["raw_data"])
    assert ": " in row["raw_data"]
    assert "mine" == event({"raw_data": "mine"}, options={"keep_raw": raw})["raw_data"]


def test_kept_payload_holds_no_secret() -> None:
    """A payload that is kept is kept without its secrets, and each record of an array by itself."""
    secret = {"community": "s3cret", "raw": '{"Community": "s3cret", "b": 1}'}
    message = delivery(json.dumps([{**NEEDED, **secret}, {**NEEDED, "n": 2}]).encode(), "events.x")
    raw = [json.loads(readable(*made)["raw_data"]) for made in rows_of("events", message, options={"keep_raw": True})]

    assert [{**NEEDED, "raw": '{"b":1}'}, {**NEEDED, "n": 2}] == raw


@pytest.mark.parametrize("field", [column.name for column in OCSF_EVENTS.columns if column.type in ("text", "jsonb")])
def test_community_is_in_no_column(field: str) -> None:
    """An SNMP community is stored nowhere: not in an object, nor in JSON text, nor in JSON text within an object."""
    for value in (
        {"a": [{"Community": "s3cret"}]},
        '{"community": "s3cret"}',
        {"a": '{"community": "s3cret"}'},
        '{"a": "{\\"community\\": \\"s3cret\\"}"}',
    ):
        assert "s3cret" not in repr(event({field: value, "other": value}))


def test_trap_becomes_an_event_with_an_id_of_its_own() -> None:
    """Traps have ids by stream sequence and index; their community is left out even where nothing is redacted."""
    trap = {"source": "10.0.0.1:161", "community": "s3cret", "varbinds": [{"value": "A: x", "community": "s3cret"}]}
    message = delivery(json.dumps([trap, {**trap, "id": ""}, {**trap, "id": NEEDED["id"]}]).encode(), "events.snmp")
    make = OCSF_EVENTS.builder(Build(ORIGIN, Adjustments(), frozenset()))
    rows = [readable(OCSF_EVENTS, make(json.loads(message.payload)[n], message, n)) for n in range(3)]

    assert 3 == len({row["id"] for row in rows})
    assert NEEDED["id"] == rows[2]["id"]
    assert "s3cret" not in repr(rows)
    assert ("x", {"ip": "10.0.0.1", "port": 161}) == (rows[0]["message"], rows[0]["src_endpoint"])


def test_no_part_of_a_varbinds_secret_is_a_message() -> None:
    """A varbind whose value is JSON is looked through before its text is taken for the message."""
    trap = {"varbinds": [{"value": '{"community": "s3cret"}'}]}
    message = delivery(json.dumps(trap).encode(), "events.snmp")
    make = OCSF_EVENTS.builder(Build(ORIGIN, Adjustments(), frozenset()))

    assert "s3cret" not in repr(make(trap, message, 0))


def test_other_kinds_can_make_rows_of_ocsf_records() -> None:
    """The row maker by itself makes the row that the table's builder makes."""
    message, build = delivery(json.dumps(NEEDED).encode(), "logs.x"), Build(ORIGIN, Adjustments(), frozenset())

    assert OCSF_EVENTS.builder(build)(NEEDED, message, 0) == ocsf_row(build)(NEEDED, message, 0)

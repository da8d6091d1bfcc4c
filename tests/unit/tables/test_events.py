"""Tests of the rows of CloudEvents and GELF messages."""

import base64
import json
from typing import Any

import pytest
from golden_rows import delivery, readable, rows_of

from eventwriter.errors import Poison
from eventwriter.model import Adjustments
from eventwriter.tables.events import EVENTS

ENVELOPE = {"specversion": "1.0", "id": "e1", "source": "core", "type": "x", "time": "2024-01-01T00:00:00Z"}
GELF = {"version": "1.1", "host": "h", "short_message": "m", "timestamp": 1704067200.25, "level": 3}


def event(record: Any, adjustments: Adjustments | None = None, options: dict[str, Any] | None = None) -> dict[str, Any]:
    [(table, row)] = rows_of("events", delivery(json.dumps(record).encode(), "events.x"), adjustments, options)
    assert table is EVENTS
    return readable(table, row)


@pytest.mark.parametrize("data", [GELF, json.dumps(GELF)])
def test_gelf_in_an_envelope_keeps_its_time(data: object) -> None:
    """The time of the data is preferred to that of the envelope; data may be JSON text."""
    row = event({**ENVELOPE, "data": data})

    assert ("2024-01-01T00:00:00.250000Z", "h", 3, "m", "1.1") == tuple(
        row[k] for k in ("event_timestamp", "host", "level", "short_message", "version")
    )


def test_base64_data_is_the_same_data() -> None:
    """Data in base64 becomes the same row as the data itself."""
    encoded = base64.b64encode(json.dumps(GELF).encode()).decode()
    plain, coded = event({**ENVELOPE, "data": GELF}), event({**ENVELOPE, "data_base64": encoded})

    assert {**plain, "raw_data": None} == {**coded, "raw_data": None}
    assert encoded in coded["raw_data"]


@pytest.mark.parametrize(
    ("record", "expected", "defaulted"),
    [
        ({**ENVELOPE, "data": {**GELF, "timestamp": "junk"}}, "2024-01-01T00:00:00Z", 0),
        ({**ENVELOPE, "data": {**GELF, "timestamp": 0}}, "2024-01-01T00:00:00Z", 0),
        ({**ENVELOPE, "data": {**GELF, "timestamp": 1704067200250}}, "2024-01-01T00:00:00.250000Z", 0),
        ({**ENVELOPE, "time": "2024-01-01T01:00:00.123456789+01:00"}, "2024-01-01T00:00:00.123456Z", 0),
        ({**ENVELOPE, "time": None}, "2025-01-01T02:53:20.123456Z", 1),
        ({**ENVELOPE, "time": None, "data": {"timestamp": "2024-01-01"}}, "2024-01-01T00:00:00Z", 0),
        ({**GELF, "timestamp": None}, "2025-01-01T02:53:20.123456Z", 1),
    ],
)
def test_time_is_the_first_readable_one(record: dict[str, Any], expected: str, defaulted: int) -> None:
    """The time is that of the data, else of the envelope, else the JetStream timestamp, counted."""
    adjustments = Adjustments()

    assert expected == event(record, adjustments)["event_timestamp"]
    assert defaulted == adjustments.timestamp_defaulted


@pytest.mark.parametrize("absent", [None, ""])
@pytest.mark.parametrize("record", [ENVELOPE, GELF])
def test_events_without_an_id_do_not_replace_each_other(record: dict[str, Any], absent: str | None) -> None:
    """Events without an id get one from stream sequence and index, the same at each delivery."""
    message = delivery(json.dumps([{**record, "id": absent}] * 2).encode(), "events.x")
    first, again = ([readable(*made)["id"] for made in rows_of("events", message)] for _ in range(2))

    assert 2 == len(set(first))
    assert first == again


@pytest.mark.parametrize(("given", "stored"), [("e1", "e1"), (7, "7")])
def test_given_id_is_stored_as_it_is(given: object, stored: str) -> None:
    """An id need not be a UUID, because its column is text."""
    assert stored == event({**ENVELOPE, "id": given})["id"]


def test_gelf_without_envelope() -> None:
    """GELF without an envelope has its host as source, the subject of the message, and no specversion."""
    row = event({**GELF, "_remote_addr": "10.0.0.1:514", "severity": "Low"})

    assert (None, "h", None, "events.x", "10.0.0.1:514", "h", 3, "Low", "m", "1.1") == tuple(
        row[k] for k in ("specversion", "source", "type", "subject", "remote_addr", "host", "level", "severity", "short_message", "version")  # noqa: E501
    )  # fmt: skip


def test_subject_of_the_envelope_is_stored() -> None:
    """The subject is that of the envelope, else that of the message."""
    assert ("mine", "events.x") == (event({**ENVELOPE, "subject": "mine"})["subject"], event(ENVELOPE)["subject"])


def test_level_is_an_integer_or_null() -> None:
    """A level that is not an integer is NULL, one out of range is clamped; both are counted."""
    adjustments = Adjustments()
    levels = [event({**GELF, "level": level}, adjustments)["level"] for level in ("junk", 0, "3", 2**40)]

    assert [None, 0, 3, 2**31 - 1] == levels
    assert {"level": 1} == adjustments.clamped_by_column == adjustments.nulled_by_column


def test_payload_is_kept_by_default() -> None:
    """The payload is stored unchanged, unless `keep_raw` is false."""
    assert ENVELOPE == json.loads(event(ENVELOPE)["raw_data"])
    assert event(ENVELOPE, options={"keep_raw": False})["raw_data"] is None


@pytest.mark.parametrize(
    "data",
    [
        {"community": "s3cret", "a": 1},
        '{"Community": "s3cret", "a": 1}',
        {"gateway_id": {"community": "s3cret"}, "short_message": {"community": "s3cret"}},
        {"short_message": '{"community": "s3cret"}'},
    ],
)
@pytest.mark.parametrize("kind", ["x", "a.gateway.health", "a.device.lifecycle"])
def test_community_is_in_no_column(data: Any, kind: str) -> None:
    """A secret is in no column, raw data included, whatever the form of the data."""
    encoded = base64.b64encode(json.dumps(data).encode() if isinstance(data, dict) else data.encode()).decode()

    for carried in (
        {"data": data},
        {"data_base64": encoded},
        {"data": None, "data_base64": encoded},
        {"data": 0, "data_base64": encoded},
    ):
        row = repr(event({**ENVELOPE, "type": kind, **carried}))
        assert "s3cret" not in row
        assert encoded not in row


def test_escaped_key_is_a_secret_too() -> None:
    """A key with escaped characters is recognized."""
    payload = b'{"specversion":"1.0","data":{"\\u0063ommunity":"s3cret"}}'
    [(table, row)] = rows_of("events", delivery(payload, "events.x"))

    assert "s3cret" not in repr(readable(table, row))


def test_array_of_every_shape_fills_both_tables() -> None:
    """Each record of an array is stored in the table of its shape."""
    ocsf = {"id": "1", "class_uid": 1008, "category_uid": 1, "activity_id": 1}
    message = delivery(json.dumps([ocsf, ENVELOPE, GELF, {"varbinds": []}]).encode(), "events.x")

    assert ["ocsf_events", "events", "events", "ocsf_events"] == [t.name for t, _ in rows_of("events", message)]


def test_one_record_of_unknown_shape_is_poison_for_the_message() -> None:
    """A message with one record of unknown shape is a dead letter as a whole."""
    with pytest.raises(Poison, match="unknown_shape"):
        rows_of("events", delivery(json.dumps([ENVELOPE, {"a": 1}]).encode(), "events.x"))


def test_empty_array_has_no_rows() -> None:
    """An empty array has no rows and is not a dead letter."""
    assert [] == rows_of("events", delivery(b"[]", "events.x"))


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("offline", (2, "critical")), ("unhealthy", (3, "error")), ("degraded", (4, "warning")),
        ("unknown", (5, "notice")), ("healthy", (6, "info")),
    ],
)  # fmt: skip
def test_severity_of_a_gateways_state(state: str, expected: tuple[int, str]) -> None:
    """The level of a state corresponds to its OCSF severity: offline is critical, degraded is a warning."""
    row = event({**ENVELOPE, "type": "x.gateway.health", "data": {"gateway_id": "g", "current_state": state}})

    assert expected == (row["level"], row["severity"])


def test_raw_data_is_one_record() -> None:
    """The raw data of a record is never the text of several records."""
    payload = json.dumps({**ENVELOPE, "n": 1}, indent=1).encode()
    [(table, row)] = rows_of("events", delivery(payload, "events.x"))

    assert payload.decode() == readable(table, row)["raw_data"]

"""Expansion of stream entries."""

from typing import Any

import pytest

from eventwriter.config.errors import SettingError
from eventwriter.config.settings import StreamSettings
from eventwriter.config.stream_entries import EntryDefaults, build_entries


def build(*entries: Any) -> tuple[list[StreamSettings], list[SettingError]]:
    """Return the entries and the errors."""
    errors: list[SettingError] = []
    return build_entries(list(entries), EntryDefaults("events"), errors), errors


def test_known_name_implies_subjects_and_kind() -> None:
    """An entry with a known name, in any case, needs no other key."""
    (one, other), errors = build("TELEMETRY", {"name": "otel_metrics"})

    assert [] == errors
    assert (("telemetry.>",), "telemetry", "events") == (one.subjects, one.kind, one.stream_name)
    assert (("otel.metrics", "otel.metrics.>"), "otel_metrics") == (other.subjects, other.kind)


def test_table_implies_name_kind_and_schema() -> None:
    """A subject and a table suffice; a schema in front of the table is the entry's schema."""
    (entry,), errors = build({"subject": "a.>", "table": "platform.otel_traces"})

    assert [] == errors
    assert ("OTEL_TRACES", "otel_traces", "platform", ("otel_traces",)) == (
        entry.name,
        entry.kind,
        entry.schema_name,
        entry.tables,
    )


@pytest.mark.parametrize(
    ("subjects", "ignored"),
    [
        (["logs.>"], ("logs.syslog", "logs.snmp", "logs.otel")),
        (["logs.otel", "logs.otel.processed"], ("logs.syslog", "logs.snmp")),
    ],
)
def test_raw_inputs_of_logs_are_ignored_unless_named(subjects: list[str], ignored: tuple[str, ...]) -> None:
    """Raw inputs of another program are dropped, except for subjects that the entry names."""
    (entry,), _ = build({"name": "LOGS", "subjects": subjects})

    assert ignored == entry.ignore_subjects


T = {"name": "TELEMETRY"}


@pytest.mark.parametrize(
    ("entry", "key", "code"),
    [
        (5, "streams[0]", "wrong_type"),
        ("NETFLO", "streams[0].subjects", "missing"),
        ({}, "streams[0].name", "missing"),
        ({"name": "X", "subject": "a", "subjects": ["b"]}, "streams[0]", "conflict"),
        ({"name": "X", "subjects": [], "kind": "json"}, "streams[0].subjects", "too_small"),
        ({"name": "X", "subjects": ["a..b"]}, "streams[0].subjects[0]", "invalid"),
        ({"name": "X Y", "subject": "a"}, "streams[0].name", "invalid"),
        ({**T, "batch_size": 0}, "streams[0].batch_size", "too_small"),
        ({**T, "batch_size": "x"}, "streams[0].batch_size", "wrong_type"),
        ({**T, "ack_wait": "100ms"}, "streams[0].ack_wait", "too_small"),
        ({**T, "start": "yesterday"}, "streams[0].start", "invalid"),
        ({**T, "start": "2026-11-25T10:00:00"}, "streams[0].start", "invalid"),
        ({**T, "start": "2026-13-25T10:00:00Z"}, "streams[0].start", "invalid"),
        ({**T, "ack_wait_s": 5}, "streams[0].ack_wait_s", "unknown_key"),
        ({**T, "tabel": "x"}, "streams[0].tabel", "unknown_key"),
        ({**T, "kind": "telemetri"}, "streams[0].kind", "invalid"),
        ({**T, "tables": ["a.x", "b.y"]}, "streams[0].tables", "conflict"),
        ({**T, "map": 3}, "streams[0].map", "wrong_type"),
        ({**T, "enabled": "perhaps"}, "streams[0].enabled", "wrong_type"),
    ],
)
def test_invalid_entry_is_reported_under_its_key(entry: Any, key: str, code: str) -> None:
    """Each error is reported once, with the key path and a code, and the entry is left out."""
    entries, errors = build(entry)

    assert [] == entries
    assert 1 == [(error.key, error.code) for error in errors].count((key, code))


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (
            {**T, "bach_size": 5},
            "Unknown key 'bach_size' in streams[0]; did you mean 'batch_size'?",
        ),
        ({**T, "batch_size": -1}, "streams[0].batch_size: -1 is too small; the minimum is 1"),
        ({**T, "ack_wait": "100ms"}, "streams[0].ack_wait: 100ms is too small; the minimum is 1s"),
        ({**T, "batch_timeout": 0}, "streams[0].batch_timeout: 0 is too small; it must be greater than 0"),
        (
            {**T, "subjects": ["a b"]},
            'streams[0].subjects[0]: "a b" is not a valid subject: white space is not allowed',
        ),
        (
            {**T, "on_conflict": "ignore"},
            'streams[0].on_conflict: "ignore" is not allowed; allowed values are append, nothing or replace',
        ),
    ],
)
def test_error_states_what_is_wrong_and_what_is_allowed(entry: dict[str, Any], text: str) -> None:
    """The sentence names the key, the value, and the allowed values."""
    _, errors = build(entry)

    assert [text] == errors


@pytest.mark.parametrize("streams", [[], {}, "TELEMETRY", 7])
def test_other_value_than_a_list_is_refused(streams: Any) -> None:
    """`streams` must be a list with at least one element."""
    errors: list[SettingError] = []

    assert [] == build_entries(streams, EntryDefaults("events"), errors)
    assert [("streams", "wrong_type")] == [(error.key, error.code) for error in errors]

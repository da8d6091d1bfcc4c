"""Stream entries."""

from typing import Any

import pytest

from eventwriter.config.settings import StreamSettings
from eventwriter.config.stream_entries import EntryDefaults, entries


def built(*given: Any, above: dict[str, Any] | None = None) -> tuple[list[StreamSettings], list[str]]:
    """Return the entries and the mistakes."""
    mistakes: list[str] = []
    return entries(list(given), EntryDefaults("events", above or {}), mistakes), mistakes


def test_name_brings_subjects_and_kind_along() -> None:
    """A known name needs nothing else, in any case of letters."""
    (one, other), mistakes = built("TELEMETRY", {"name": "otel_metrics"})

    assert [] == mistakes
    assert (("telemetry.>",), "telemetry", "events") == (one.subjects, one.kind, one.stream_name)
    assert (("otel.metrics", "otel.metrics.>"), "otel_metrics") == (other.subjects, other.kind)


def test_table_brings_name_and_kind_along() -> None:
    """One subject and one table are enough; a schema before the table is the entry's schema."""
    (one,), mistakes = built({"subject": "a.>", "table": "platform.otel_traces"})

    assert [] == mistakes
    assert ("OTEL_TRACES", "otel_traces", "platform", ("otel_traces",)) == (
        one.name,
        one.kind,
        one.schema_name,
        one.tables,
    )


@pytest.mark.parametrize(
    ("subjects", "ignored"),
    [
        (["logs.>"], ("logs.syslog", "logs.snmp", "logs.otel")),
        (["logs.otel", "logs.otel.processed"], ("logs.syslog", "logs.snmp")),
    ],
)
def test_raw_inputs_of_logs_are_ignored_unless_named(subjects: list[str], ignored: tuple[str, ...]) -> None:
    """Raw inputs of another program are counted and dropped, but a subject that is asked for by name is wanted."""
    (one,), _ = built({"name": "LOGS", "subjects": subjects})

    assert ignored == one.ignore_subjects


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (5, "streams[0]: 5; a name or an entry with keys is wanted"),
        ("NETFLO", 'streams[0].subjects: missing, and the name "NETFLO" brings none along; did you mean NETFLOW?'),
        ({}, "streams[0].name: missing; it is required"),
        (
            {"name": "X", "subject": "a", "subjects": ["b"]},
            "streams[0]: has both subject and subjects; keep one of them",
        ),
        ({"name": "X", "subjects": [], "kind": "json"}, "streams[0].subjects: []; at least one is wanted"),
        ({"name": "X", "subjects": ["a..b"]}, 'streams[0].subjects[0]: "a..b"; a token between the dots is empty'),
        ({"name": "X Y", "subject": "a"}, 'streams[0].name: "X Y"; a name without white space, slashes, dots'),
        ({"name": "TELEMETRY", "batch_size": 0}, "streams[0].batch_size: 0; at least 1 is wanted"),
        ({"name": "TELEMETRY", "batch_size": "x"}, 'streams[0].batch_size: "x"; a whole number is wanted'),
        ({"name": "TELEMETRY", "ack_wait": "100ms"}, "streams[0].ack_wait: 100ms; at least 1s is wanted"),
        ({"name": "TELEMETRY", "start": "yesterday"}, 'streams[0].start: "yesterday"; write a time with its zone'),
        ({"name": "TELEMETRY", "start": "2026-11-25T10:00:00"}, "streams[0].start: "),
        ({"name": "TELEMETRY", "start": "2026-13-25T10:00:00Z"}, "streams[0].start: "),
        ({"name": "TELEMETRY", "ack_wait_s": 5}, "streams[0].ack_wait_s: not a known key; did you mean ack_wait?"),
        ({"name": "TELEMETRY", "tabel": "x"}, "streams[0].tabel: not a known key; did you mean tables?"),
        (
            {"name": "TELEMETRY", "kind": "telemetri"},
            'streams[0].kind: "telemetri"; there is no such kind; allowed are',
        ),
        ({"name": "TELEMETRY", "tables": ["a.x", "b.y"]}, "tables of one entry lie in one schema"),
        ({"name": "TELEMETRY", "map": 3}, "streams[0].map: 3; an object with keys is wanted"),
        ({"name": "TELEMETRY", "enabled": "perhaps"}, 'streams[0].enabled: "perhaps"; true or false is wanted'),
    ],
)
def test_wrong_entry_is_one_sentence(entry: Any, said: str) -> None:
    """Key path, value, and what is allowed; of each mistake once."""
    streams, mistakes = built(entry)

    assert [] == streams
    assert said in "\n".join(mistakes)


@pytest.mark.parametrize("given", [[], {}, "TELEMETRY", 7])
def test_streams_must_be_a_list(given: Any) -> None:
    """Anything but a list with something in it is refused, with an example."""
    mistakes: list[str] = []

    assert [] == entries(given, EntryDefaults("events"), mistakes)
    assert 'a list of names or entries is wanted, like ["TELEMETRY", "NETFLOW"]' in mistakes[0]


@pytest.mark.parametrize(
    ("entry", "expected"), [({}, {}), ({"keep_raw": False}, {"keep_raw": False}), ({"rest": "x"}, {"rest": "x"})]
)
def test_options_that_are_set_reach_the_builders(entry: dict[str, Any], expected: dict[str, Any]) -> None:
    """False is not the same as absent: table `events` keeps payloads unless it is told not to."""
    stream = StreamSettings.model_validate(
        {"name": "X", "stream_name": "s", "kind": "events", "subjects": ("x",), **entry}
    )

    assert expected == stream.options

"""Checks that concern several settings at once."""

from typing import Any

import pytest

from eventwriter.config import cross_checks
from eventwriter.config.errors import SettingError
from eventwriter.config.settings import Settings
from eventwriter.config.stream_entries import EntryDefaults, build_entries

MIB = 2**20


def settings(*streams: Any, **sections: Any) -> Settings:
    """Return settings with these entries."""
    errors: list[SettingError] = []
    entries = build_entries(list(streams) or ["TELEMETRY"], EntryDefaults("events"), errors)
    assert [] == errors
    return Settings.model_validate({"streams": tuple(entries), **sections})


def entry(name: str, *subjects: str, **keys: Any) -> dict[str, Any]:
    """Return an entry that writes table `logs`."""
    return {"name": name, "subjects": list(subjects), "kind": "logs", "tables": ["logs"], **keys}


LISTED = {"name": "A", "tables": ["logs"], "kind": "logs"}

CONFLICTS = {
    "name twice": ((entry("A", "a"), entry("A", "b", durable="x")), {}, "streams", "duplicate"),
    "durable twice": ((entry("A", "a"), entry("a", "b")), {}, "streams", "duplicate"),
    "a partition's durable is another entry's": (
        (entry("A", "a.{partition}", partitions=2, durable="d"), entry("B", "b", durable="d-1", tables=["events"])),
        {},
        "streams",
        "duplicate",
    ),
    "batch above its ceiling": (
        (entry("A", "a", batch_size=20, max_batch_size=10),), {}, "streams[A].max_batch_size", "conflict",
    ),
    "ack_wait below batch_timeout": (
        (entry("A", "a", ack_wait="2s", batch_timeout="3s"),), {}, "streams[A].ack_wait", "conflict",
    ),
    "batches above the memory": (
        (entry("A", "a", max_batch_bytes=30 * MIB),),
        {"supervisor": {"worker_memory_bytes_max": 64 * MIB}},
        "streams[A].max_batch_bytes",
        "conflict",
    ),
    "covered within one entry": (
        (entry("A", "otel.metrics.>", "otel.metrics.raw"),), {}, "streams[A].subjects", "conflict",
    ),
    "crossing within one entry": ((entry("A", "a.*", "*.b"),), {}, "streams[A].subjects", "conflict"),
    "two entries, one table": ((entry("A", "a.>"), entry("B", "a.b")), {}, "streams", "conflict"),
    "two entries, one default table": (
        ({"name": "A", "subject": "a.>", "kind": "netflow"}, entry("B", "a.b", kind="sweep", tables=[])),
        {},
        "streams",
        "conflict",
    ),
    "partitions with equal subjects": ((entry("A", "a.>", partitions=2),), {}, "streams[A].partitions", "conflict"),
    "lists and another number": (
        ({**LISTED, "partitions": 3, "partition_subjects": [["a"], ["b"]]},), {}, "streams[A].partitions", "conflict",
    ),
    "lists that overlap": (
        ({**LISTED, "partition_subjects": [["a.>"], ["a.b"]]},), {}, "streams[A].partition_subjects", "conflict",
    ),
    "shared and numbered": (
        (entry("A", "a.{partition}.>", partitions=2, partition_mode="shared"),),
        {},
        "streams[A].partition_mode",
        "conflict",
    ),
    "hang": ((), {"supervisor": {"heartbeat": 11}}, "supervisor.hang_max", "conflict"),
    "backoff": ((), {"supervisor": {"backoff_min": 40}}, "supervisor.backoff_max", "conflict"),
    "address without token": ((), {"http": {"listen": "0.0.0.0:8088"}}, "http.listen", "conflict"),
    "IPv6 address without token": ((), {"http": {"listen": "[::]:8088"}}, "http.listen", "conflict"),
    "key without certificate": ((), {"http": {"listen": ":1", "key_file": "k"}}, "http.key_file", "conflict"),
}  # fmt: skip


@pytest.mark.parametrize(("streams", "sections", "key", "code"), CONFLICTS.values(), ids=CONFLICTS)
def test_conflict_is_one_error(streams: tuple[Any, ...], sections: dict[str, Any], key: str, code: str) -> None:
    """Each conflict is reported once, under the key to change."""
    assert [(key, code)] == [(e.key, e.code) for e in cross_checks.errors(settings(*streams, **sections))]


@pytest.mark.parametrize(
    ("subjects", "removed"), [(("a.>", "a.b"), "remove a.b"), (("a.*", "*.b"), "make them disjoint")]
)
def test_overlap_names_the_covered_subject(subjects: tuple[str, ...], removed: str) -> None:
    """If one subject covers another, the error says which one to remove."""
    (error,) = cross_checks.errors(settings(entry("A", *subjects)))

    assert error.endswith(removed)


CONSISTENT: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "other stream": ((entry("A", "a.>"), entry("B", "a.b", stream_name="other")), {}),
    "not enabled": ((entry("A", "a.>"), entry("B", "a.b", enabled=False)), {}),
    "other schema": ((entry("A", "a.>"), entry("B", "a.b", schema="s")), {}),
    "disjoint": ((entry("A", "otel.metrics", "otel.metrics.>"), entry("B", "otel.traces.>")), {}),
    "one durable name on two streams": (
        (entry("A", "a", durable="d"), entry("B", "b", durable="d", stream_name="o")),
        {},
    ),
    "enough memory": ((entry("A", "a", max_batch_bytes=300 * MIB),), {}),
    "loopback without token": ((), {"http": {"listen": ":1"}}),
    "address with token": ((), {"http": {"listen": "0.0.0.0:1", "token_file": "t"}}),
    "IPv6 loopback with token": ((), {"http": {"listen": "[::1]:1", "token_file": "t"}}),
}


@pytest.mark.parametrize(("streams", "sections"), CONSISTENT.values(), ids=CONSISTENT)
def test_consistent_settings_have_no_error(streams: tuple[Any, ...], sections: dict[str, Any]) -> None:
    """Settings that do not interfere are accepted."""
    assert [] == cross_checks.errors(settings(*streams, **sections))


@pytest.mark.parametrize(
    ("streams", "sections", "key"),
    [
        pytest.param(
            (entry("A", "a.>"), entry("B", "a.b", tables=["events"], kind="events")), {}, "streams: ", id="two tables"
        ),
        pytest.param((), {"supervisor": {"drain_max": 10}}, "supervisor.drain_max: ", id="drain shorter than a COPY"),
        pytest.param((), {"http": {"listen": "0.0.0.0:1", "token_file": "t"}}, "http.listen: ", id="token without TLS"),
    ],
)
def test_probable_mistake_is_a_warning(streams: tuple[Any, ...], sections: dict[str, Any], key: str) -> None:
    """A combination that works but is probably not intended is a warning, not an error."""
    combined = settings(*streams, **sections)

    assert [] == cross_checks.errors(combined)
    (warning,) = cross_checks.warnings(combined)
    assert warning.startswith(key)


@pytest.mark.parametrize("http", [{}, {"listen": "0.0.0.0:1", "token_file": "t", "cert_file": "c"}], ids=str)
def test_defaults_and_https_have_no_warning(http: dict[str, Any]) -> None:
    """The defaults cause neither errors nor warnings; nor does a token sent over HTTPS."""
    combined = settings(http=http)

    assert ([], []) == (cross_checks.errors(combined), cross_checks.warnings(combined))

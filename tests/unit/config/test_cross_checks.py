"""What settings must be to each other."""

from typing import Any

import pytest

from eventwriter.config import cross_checks
from eventwriter.config.settings import DEFAULT_TABLES, KIND_OF_TABLE, Settings
from eventwriter.config.stream_entries import EntryDefaults, entries
from eventwriter.kinds.registry import KINDS
from eventwriter.worker import session

MIB = 2**20


def settings(*streams: Any, **sections: Any) -> Settings:
    """Return settings with these entries."""
    mistakes: list[str] = []
    built = entries(list(streams) or ["TELEMETRY"], EntryDefaults("events"), mistakes)
    assert [] == mistakes
    return Settings.model_validate({"streams": tuple(built), **sections})


def entry(name: str, *subjects: str, **more: Any) -> dict[str, Any]:
    """Return an entry into the table of logs."""
    return {"name": name, "subjects": list(subjects), "kind": "logs", "tables": ["logs"], **more}


by_hand = {"name": "A", "tables": ["logs"], "kind": "logs"}

MISTAKES = {
    "name twice": ((entry("A", "a"), entry("A", "b", durable="x")), {}, "the name A is given to 2 entries"),
    "durable twice": ((entry("A", "a"), entry("a", "b")), {}, "A and a would share the durable eventwriter-a"),
    "batch above its ceiling": (
        (entry("A", "a", batch_size=20, max_batch_size=10),), {}, "max_batch_size 10 is below batch_size 20",
    ),
    "ack_wait below batch_timeout": (
        (entry("A", "a", ack_wait="2s", batch_timeout="3s"),), {}, "ack_wait 2s must be above batch_timeout 3s",
    ),
    "batches above the memory": (
        (entry("A", "a", max_batch_bytes=30 * MIB),),
        {"supervisor": {"worker_memory_bytes_max": 64 * MIB}},
        "a worker holds up to 3 batches, 94371840 bytes",
    ),
    "covered within one entry": (
        (entry("A", "otel.metrics.>", "otel.metrics.raw"),), {}, "within one consumer; remove 'otel.metrics.raw'",
    ),
    "crossing within one entry": ((entry("A", "a.*", "*.b"),), {}, "within one consumer; make them disjoint"),
    "two entries, one table": (
        (entry("A", "a.>"), entry("B", "a.b")), {}, "A and B both take a.b of stream events and both write logs",
    ),
    "two entries, one default table": (
        ({"name": "A", "subject": "a.>", "kind": "netflow"}, entry("B", "a.b", kind="sweep", tables=[])),
        {},
        "both write ocsf_network_activity",
    ),
    "partitions that share nothing out": (
        (entry("A", "a.>", partitions=2),), {}, "A: partitions 2: each of them would be given every message",
    ),
    "lists and another number": (
        ({**by_hand, "partitions": 3, "partition_subjects": [["a"], ["b"]]},), {}, "partition_subjects has 2 lists",
    ),
    "lists that overlap": (
        ({**by_hand, "partition_subjects": [["a.>"], ["a.b"]]},),
        {},
        "overlap, which give messages to two partitions",
    ),
    "shared and numbered": (
        (entry("A", "a.{partition}.>", partitions=2, partition_mode="shared"),),
        {},
        "shared and {partition} exclude each",
    ),
    "a partition's durable is another entry's": (
        (entry("A", "a.{partition}", partitions=2, durable="d"), entry("B", "b", durable="d-1", tables=["events"])),
        {},
        "A and B would share the durable d-1",
    ),
    "hang": ((), {"supervisor": {"heartbeat": 11}}, "hang_max 20s must be at least twice supervisor.heartbeat 11s"),
    "backoff": ((), {"supervisor": {"backoff_min": 40}}, "backoff_max 30s is below supervisor.backoff_min 40s"),
}  # fmt: skip


@pytest.mark.parametrize(("streams", "sections", "said"), MISTAKES.values(), ids=MISTAKES)
def test_contradiction_is_one_sentence(streams: tuple[Any, ...], sections: dict[str, Any], said: str) -> None:
    """Each contradiction is named once, with both sides and what to do."""
    (mistake,) = cross_checks.mistakes(settings(*streams, **sections))

    assert said in mistake


RIGHT = {
    "other stream": (entry("A", "a.>"), entry("B", "a.b", stream_name="other")),
    "not enabled": (entry("A", "a.>"), entry("B", "a.b", enabled=False)),
    "other schema": (entry("A", "a.>"), entry("B", "a.b", schema="s")),
    "disjoint": (entry("A", "otel.metrics", "otel.metrics.>"), entry("B", "otel.traces.>")),
    "one durable name on two streams": (entry("A", "a", durable="d"), entry("B", "b", durable="d", stream_name="o")),
    "enough memory": (entry("A", "a", max_batch_bytes=300 * MIB),),
}


@pytest.mark.parametrize("streams", RIGHT.values(), ids=RIGHT)
def test_what_fits_is_no_mistake(streams: tuple[Any, ...]) -> None:
    """What does not meet is left alone."""
    assert [] == cross_checks.mistakes(settings(*streams))


def test_one_message_into_two_tables_is_a_warning() -> None:
    """Entries that take the same messages into different tables may be meant, and are pointed out."""
    both = settings(entry("A", "a.>"), entry("B", "a.b", tables=["events"], kind="events"))

    assert [] == cross_checks.mistakes(both)
    (warning,) = cross_checks.warnings(both)
    assert "A and B both take a.b of stream events: each such message is written by both" in warning


def test_drain_that_is_shorter_than_a_copy_is_a_warning() -> None:
    """A stop that cannot wait for one COPY loses nothing, and is pointed out."""
    (warning,) = cross_checks.warnings(settings(supervisor={"drain_max": 10}))

    assert "supervisor.drain_max 10s is below postgres.statement_timeout 30s" in warning


def test_defaults_are_quiet() -> None:
    """The defaults contradict nothing and warn of nothing."""
    assert ([], []) == (cross_checks.mistakes(settings()), cross_checks.warnings(settings()))


def test_held_batches_are_counted_as_the_worker_does() -> None:
    """The relation of memory counts as many batches as a worker holds."""
    assert session.HELD_BATCHES == cross_checks.HELD_BATCHES


@pytest.mark.parametrize("name", KINDS)
def test_default_tables_are_those_of_the_kinds(name: str) -> None:
    """What the configuration believes of a kind's tables is what the kind has."""
    default = tuple(table.name for table in KINDS[name].tables)

    assert default == DEFAULT_TABLES.get(name, ())
    assert {name} >= {KIND_OF_TABLE.get(table) for table in default} or name in ("sweep", "logs")

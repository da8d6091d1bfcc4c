"""How an entry's messages are shared out among its partitions."""

from typing import Any

from eventwriter.config.load import load
from eventwriter.config.settings import StreamSettings
from eventwriter.model import SlotName


def stream(**keys: Any) -> StreamSettings:
    given = {"name": "FLOWS", "kind": "netflow", **keys}
    loaded = load(None, {}, {"streams": [given]})
    return loaded.settings.streams[0]


def test_number_stands_in_the_subject() -> None:
    """Each partition has the subjects with its own number in them, and a durable of its own."""
    found = stream(subject="part.{partition}.>", partitions=3)

    assert [("part.0.>",), ("part.1.>",), ("part.2.>",)] == [found.filters(p) for p in range(3)]
    assert ["w-flows-0", "w-flows-1", "w-flows-2"] == [found.durable_name("w", p) for p in range(3)]
    assert ("part.*.>",) == found.every_subject


def test_lists_are_the_partitions() -> None:
    """Subjects shared out by hand are one partition for each list; the number follows."""
    found = stream(partition_subjects=[["flow.a", "flow.b"], ["flow.c"]])

    assert (2, ("flow.a", "flow.b"), ("flow.c",)) == (found.partitions, found.filters(0), found.filters(1))
    assert ("flow.a", "flow.b", "flow.c") == found.every_subject


def test_shared_workers_have_one_durable() -> None:
    """Workers that share all take the same subjects from one durable."""
    found = stream(subject="flow.>", partitions=2, partition_mode="shared")

    assert {("flow.>", "w-flows")} == {(*found.filters(p), found.durable_name("w", p)) for p in range(2)}


def test_every_partition_is_a_slot() -> None:
    """A slot runs for each partition."""
    settings = load(
        None, {}, {"streams": [{"name": "F", "kind": "netflow", "subject": "f.{partition}", "partitions": 2}]}
    )

    assert [SlotName("F", 0), SlotName("F", 1)] == settings.settings.slots()


def test_one_partition_has_number_zero() -> None:
    """With one partition the number is 0, so that going from one to several changes nothing for the first."""
    assert ("part.0.>",) == stream(subject="part.{partition}.>").filters(0)

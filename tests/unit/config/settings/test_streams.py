"""Partitions of a stream entry, and its options."""

from typing import Any

import pytest

from eventwriter.config.load import load
from eventwriter.config.settings import Settings, StreamSettings
from eventwriter.model import SlotName


def settings(**keys: Any) -> Settings:
    return load(None, {}, {"streams": [{"name": "FLOWS", "kind": "netflow", **keys}]}).settings


def stream(**keys: Any) -> StreamSettings:
    return settings(**keys).streams[0]


def test_placeholder_gives_each_partition_its_own_subjects() -> None:
    """`{partition}` in the subjects becomes the partition's number, and each partition has its own durable."""
    numbered = stream(subject="part.{partition}.>", partitions=3)

    assert [("part.0.>",), ("part.1.>",), ("part.2.>",)] == [numbered.filters(p) for p in range(3)]
    assert ["w-flows-0", "w-flows-1", "w-flows-2"] == [numbered.durable_name("w", p) for p in range(3)]
    assert ("part.*.>",) == numbered.every_subject


def test_lists_of_subjects_are_the_partitions() -> None:
    """`partition_subjects` makes one partition for each list."""
    listed = stream(partition_subjects=[["flow.a", "flow.b"], ["flow.c"]])

    assert (2, ("flow.a", "flow.b"), ("flow.c",)) == (listed.partitions, listed.filters(0), listed.filters(1))
    assert ("flow.a", "flow.b", "flow.c") == listed.every_subject


def test_shared_workers_have_one_durable() -> None:
    """Shared workers read the same subjects from one durable."""
    shared = stream(subject="flow.>", partitions=2, partition_mode="shared")

    assert {("flow.>", "w-flows")} == {(*shared.filters(p), shared.durable_name("w", p)) for p in range(2)}


def test_every_partition_is_a_slot() -> None:
    """Each partition of an entry has a slot."""
    assert [SlotName("FLOWS", 0), SlotName("FLOWS", 1)] == settings(subject="f.{partition}", partitions=2).slots()


def test_single_partition_has_number_zero() -> None:
    """The only partition has number 0, as the first of several has."""
    assert ("part.0.>",) == stream(subject="part.{partition}.>").filters(0)


@pytest.mark.parametrize(
    ("keys", "expected"), [({}, {}), ({"keep_raw": False}, {"keep_raw": False}), ({"rest": "x"}, {"rest": "x"})]
)
def test_options_contain_only_keys_that_are_set(keys: dict[str, Any], expected: dict[str, Any]) -> None:
    """`keep_raw = false` is an option, an absent key is not."""
    assert expected == stream(subject="x", **keys).options

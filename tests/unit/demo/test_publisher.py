"""The sample messages are reproducible from their seed."""

import itertools

import pytest

from eventwriter.demo.publisher import pattern, payloads
from eventwriter.demo.traffic import GARBAGE_EVERY, TRAFFIC

NOW_NS = 1_790_000_000_000_000_000


def some(kind: str, seed: int, first: int = 0) -> list[bytes]:
    """Return twenty messages that carry the same time."""
    return list(itertools.islice(payloads(kind, seed, first, NOW_NS), 20))


@pytest.mark.parametrize("kind", TRAFFIC)
def test_same_seed_gives_the_same_messages(kind: str) -> None:
    """The same seed and time give byte-identical messages of each kind."""
    assert some(kind, 7) == some(kind, 7)


@pytest.mark.parametrize("kind", TRAFFIC)
def test_another_seed_gives_other_messages(kind: str) -> None:
    """Another seed gives other messages."""
    assert some(kind, 7) != some(kind, 8)


def test_messages_are_numbered_from_first() -> None:
    """Numbering starts at `first`, and garbage messages are counted too."""
    bodies = some("telemetry", 7, first=GARBAGE_EVERY - 2)

    assert [f'"n":{GARBAGE_EVERY - 2}}}' in bodies[0].decode(), bodies[1]] == [True, b"\x00 this is no JSON"]
    assert f'"n":{GARBAGE_EVERY}}}' in bodies[2].decode()


def test_pattern_covers_the_subject() -> None:
    """The subject pattern of a kind replaces the last token of its subject by a wildcard."""
    assert ("telemetry.>", "otel.traces.>") == (pattern("telemetry"), pattern("otel_traces"))

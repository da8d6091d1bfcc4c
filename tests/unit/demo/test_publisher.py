"""The demo's messages: repeatable by their seed."""

import itertools

import pytest

from eventwriter.demo.publisher import pattern, payloads
from eventwriter.demo.traffic import GARBAGE_EVERY, TRAFFIC

NOW_NS = 1_790_000_000_000_000_000


def some(kind: str, seed: int, first: int = 0) -> list[bytes]:
    """Return twenty messages with one time in all of them."""
    return list(itertools.islice(payloads(kind, seed, first, NOW_NS), 20))


@pytest.mark.parametrize("kind", TRAFFIC)
def test_same_seed_makes_the_same_messages(kind: str) -> None:
    """The same seed makes the same messages of each kind, to the byte, but for the times in them."""
    assert some(kind, 7) == some(kind, 7)


@pytest.mark.parametrize("kind", TRAFFIC)
def test_another_seed_makes_other_messages(kind: str) -> None:
    """Another seed makes other messages."""
    assert some(kind, 7) != some(kind, 8)


def test_messages_are_numbered_on_from_the_first() -> None:
    """The numbers go on from where an earlier run ended, and garbage has numbers too."""
    bodies = some("telemetry", 7, first=GARBAGE_EVERY - 2)

    assert [f'"n":{GARBAGE_EVERY - 2}}}' in bodies[0].decode(), bodies[1]] == [True, b"\x00 this is no JSON"]
    assert f'"n":{GARBAGE_EVERY}}}' in bodies[2].decode()


def test_pattern_covers_the_subject() -> None:
    """A kind's pattern of subjects is its subject's with the last token open."""
    assert ("telemetry.>", "otel.traces.>") == (pattern("telemetry"), pattern("otel_traces"))

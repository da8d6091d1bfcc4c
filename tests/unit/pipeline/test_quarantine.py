"""Who is suspected of killing workers, and what may be decoded together."""

import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from eventwriter.errors import EventwriterError, Fatal
from eventwriter.model import Message
from eventwriter.pipeline.counters import Counters
from eventwriter.pipeline.quarantine import DEATHS_ALONE_MAX, SIZES, Group, Quarantine, groups, suspicions
from eventwriter.postgres.quarantine_notes import Note

AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def message(seq: int, num_delivered: int = 1) -> Message:
    return Message(f"r{seq}", "s", b"", None, seq, seq, num_delivered, seq)


def notes(*named: range) -> list[Note]:
    """Return notes that were left behind."""
    return [Note(n, list(seqs), AT) for n, seqs in enumerate(named)]


def divided(seqs: range, *named: range, known: range = range(0)) -> list[Group]:
    """Divide messages, with these notes left behind, and these messages in the ledger."""
    told = suspicions(notes(*named))
    return list(groups([message(seq) for seq in seqs], told, lambda one: one.stream_seq in known))


def sizes(found: list[Group]) -> list[int]:
    return [len(group.messages) for group in found]


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        pytest.param([], [256, 44], id="nothing known: large groups"),
        pytest.param([range(1, 257)], [16] * 16 + [44], id="died in a large group: smaller ones"),
        pytest.param(
            [range(1, 257), range(17, 33)], [16, *[1] * 16, *[16] * 14, 44], id="died in a smaller one: alone"
        ),
        pytest.param([range(5, 37)], [4, 16, 16, 256, 8], id="a group of a short list: the next size below it"),
        pytest.param([range(1, 3)], [1, 1, 256, 42], id="two: alone"),
        pytest.param([range(7, 8)], [6, 1, 256, 37], id="alone once: alone again"),
    ],
)
def test_groups_are_as_large_as_what_is_known_allows(named: list[range], expected: list[int]) -> None:
    """Each death narrows the groups of those that were in hand, and of nobody else; the order stays."""
    found = divided(range(1, 301), *named)

    assert expected == sizes(found)
    assert list(range(1, 301)) == [one.stream_seq for group in found for one in group.messages]


def test_only_deaths_alone_convict() -> None:
    """However often a message was in hand when workers died: what counts is that nothing else was."""
    crowd = [range(1, 257)] * 10 + [range(1, 17)] * 10 + [range(1, 3)] * 10
    alone = [range(1, 2)]

    innocent = divided(range(1, 3), *crowd, *alone * (DEATHS_ALONE_MAX - 1))
    guilty = divided(range(1, 3), *crowd, *alone * DEATHS_ALONE_MAX)

    assert [None, None] == [group.instead for group in innocent]
    assert ["crash_loop", None] == [getattr(group.instead, "reason", None) for group in guilty]
    assert [1, 1] == sizes(guilty)


def test_deliveries_are_no_suspicion() -> None:
    """A message that was delivered a hundred times, and at which nobody died, is decoded among others."""
    found = list(groups([message(seq, num_delivered=100) for seq in range(1, 11)], {}, lambda _: False))

    assert [(10, False, None)] == [(len(group.messages), group.apart, group.instead) for group in found]


def test_suspects_are_apart_from_others() -> None:
    """Before and after what a note named, everything else is settled."""
    found = divided(range(1, 20), range(5, 37))

    assert [(4, False), (15, True)] == [(len(group.messages), group.apart) for group in found]


def test_what_the_ledger_knows_is_not_decoded() -> None:
    """A message that is settled already needs no care, though workers died of it."""
    found = divided(range(1, 11), *[range(5, 6)] * DEATHS_ALONE_MAX, known=range(4, 8))

    assert [(3, None), (4, []), (3, None)] == [(len(group.messages), group.instead) for group in found]


def test_sizes_reach_one() -> None:
    """Groups shrink until a message is alone."""
    assert (1, sorted(SIZES, reverse=True)) == (SIZES[-1], list(SIZES))


async def test_care_ends_after_a_database_that_refused_us_for_a_while() -> None:
    """Notes that could not be deleted are deleted at the next look; the refusal stays with the line."""
    answers: list[EventwriterError | None] = [Fatal("the login is refused"), None]
    forgotten: list[int] = []

    class Base:
        @asynccontextmanager
        async def transaction(self) -> AsyncIterator[None]:
            if error := answers.pop(0):
                raise error
            yield

    class Book:
        async def forget(self, conn: None, left: list[Note]) -> None:
            forgotten.extend(note.id for note in left)

    care: Any = Quarantine(Base(), Book(), notes(range(1, 17)), 16, None, Counters())  # type: ignore[arg-type]
    care._careful_until_s = 0.0

    await care.see(16)
    assert [] == forgotten
    await care.see(16)
    await care.see(16)

    assert ([0], []) == (forgotten, answers)

"""Which messages are suspected of killing workers, and which may be decoded together."""

import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from eventwriter.errors import EventwriterError, Fatal, Poison
from eventwriter.model import Message
from eventwriter.pipeline.counters import Counters
from eventwriter.pipeline.quarantine import (
    DEATHS_ALONE_MAX,
    GROUP_SIZES,
    Group,
    Quarantine,
    QuarantineStore,
    split_into_groups,
    suspicions_from,
)
from eventwriter.postgres.quarantine import QuarantineNote

NOTED_AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def message(seq: int, num_delivered: int = 1) -> Message:
    return Message(f"r{seq}", "s", b"", None, seq, seq, num_delivered, seq)


def notes(*groups: range) -> list[QuarantineNote]:
    """Return the notes of dead workers, one for each group of sequences."""
    return [QuarantineNote(n, list(seqs), NOTED_AT) for n, seqs in enumerate(groups)]


def split(seqs: range, *noted: range, in_ledger: range = range(0)) -> list[Group]:
    """Split messages into groups, given notes of dead workers and messages that the ledger has."""
    suspicions = suspicions_from(notes(*noted))
    return list(split_into_groups([message(seq) for seq in seqs], suspicions, lambda m: m.stream_seq in in_ledger))


def sizes(groups: list[Group]) -> list[int]:
    return [len(group.messages) for group in groups]


@pytest.mark.parametrize(
    ("noted", "expected"),
    [
        pytest.param([], [256, 44], id="no death: large groups"),
        pytest.param([range(1, 257)], [16] * 16 + [44], id="death in a large group: smaller groups"),
        pytest.param(
            [range(1, 257), range(17, 33)], [16, *[1] * 16, *[16] * 14, 44], id="death in a smaller group: alone"
        ),
        pytest.param([range(5, 37)], [4, 16, 16, 256, 8], id="death in a group of 32: groups of 16"),
        pytest.param([range(1, 3)], [1, 1, 256, 42], id="death in a group of 2: alone"),
        pytest.param([range(7, 8)], [6, 1, 256, 37], id="death alone: alone again"),
    ],
)
def test_group_size_follows_evidence(noted: list[range], expected: list[int]) -> None:
    """Each death reduces the group size of the messages in its note only; the order is kept."""
    groups = split(range(1, 301), *noted)

    assert expected == sizes(groups)
    assert list(range(1, 301)) == [m.stream_seq for group in groups for m in group.messages]


def test_only_deaths_alone_prove_guilt() -> None:
    """However often a message was in a group when a worker died, only deaths with it alone are proof."""
    crowd = [range(1, 257)] * 10 + [range(1, 17)] * 10 + [range(1, 3)] * 10
    alone = [range(1, 2)]

    unproven = split(range(1, 3), *crowd, *alone * (DEATHS_ALONE_MAX - 1))
    proven = split(range(1, 3), *crowd, *alone * DEATHS_ALONE_MAX)

    assert [None, None] == [group.override for group in unproven]
    assert isinstance(proven[0].override, Poison)
    assert ("crash_loop", None, [1, 1]) == (proven[0].override.reason, proven[1].override, sizes(proven))


def test_delivery_count_is_no_evidence() -> None:
    """A message that was delivered a hundred times without a death is decoded with others."""
    groups = list(split_into_groups([message(seq, 100) for seq in range(1, 11)], {}, lambda _: False))

    assert [(10, False, None)] == [(len(group.messages), group.isolated, group.override) for group in groups]


def test_noted_messages_are_isolated() -> None:
    """Groups of messages that a note names are settled separately from others."""
    groups = split(range(1, 20), range(5, 37))

    assert [(4, False), (15, True)] == [(len(group.messages), group.isolated) for group in groups]


def test_messages_in_ledger_are_not_decoded() -> None:
    """A message that is settled already needs no quarantine, although workers died of it."""
    groups = split(range(1, 11), *[range(5, 6)] * DEATHS_ALONE_MAX, in_ledger=range(4, 8))

    assert [(3, None), (4, []), (3, None)] == [(len(group.messages), group.override) for group in groups]


def test_group_sizes_descend_to_one() -> None:
    """Groups shrink until a message is alone."""
    assert (1, sorted(GROUP_SIZES, reverse=True)) == (GROUP_SIZES[-1], list(GROUP_SIZES))


async def test_quarantine_ends_after_retry_of_failed_cleanup() -> None:
    """Notes that could not be deleted are deleted at the next call, and the error is not raised."""
    errors: list[EventwriterError | None] = [Fatal("the login is refused"), None]
    deleted: list[int] = []

    class ScriptedSession:
        @asynccontextmanager
        async def transaction(self) -> AsyncIterator[None]:
            if error := errors.pop(0):
                raise error
            yield

    class ScriptedNotes:
        async def delete(self, conn: None, left_behind: list[QuarantineNote]) -> None:
            deleted.extend(note.id for note in left_behind)

    session: Any = ScriptedSession()
    scripted_notes: Any = ScriptedNotes()
    store = QuarantineStore("host", None, session, Counters(), lambda _: None, lambda: None)
    quarantine = Quarantine(store, scripted_notes, notes(range(1, 17)), 16, lambda _: False)
    quarantine._note_all_until_s = 0.0

    await quarantine.end_if_settled(16)
    assert [] == deleted
    await quarantine.end_if_settled(16)
    await quarantine.end_if_settled(16)

    assert ([0], []) == (deleted, errors)

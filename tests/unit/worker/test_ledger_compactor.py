"""Holes in the ledger below the consumer's ack floor."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from eventwriter.jetstream.consumer import ConsumerState
from eventwriter.model import Message, Origin
from eventwriter.postgres.ledger.ranges import Ranges, contains
from eventwriter.postgres.ledger.store import ClosedEpoch, Ledger, LedgerKey
from eventwriter.worker.ledger_compactor import LedgerCompactor


class ScriptedLedger(Ledger):
    """A ledger whose row is what is cached; it records what is compacted."""

    compacted: tuple[int, int, Ranges] | None = None

    async def refresh(self, conn: Any) -> None:
        """Leave the cache as it is."""

    async def compact(self, conn: Any, low: int | None, ack_floor: int, elsewhere: Ranges) -> bool:
        self.compacted = (low, ack_floor, elsewhere)
        return True


class ScriptedStream:
    """A stream with messages at some sequences; its timestamp in µs is the sequence."""

    def __init__(self, stored: set[int]) -> None:
        self._stored = stored

    async def first(self, ranges: Ranges) -> Message | None:
        seq = min((seq for seq in self._stored if contains(ranges, seq)), default=None)
        return None if seq is None else Message("", "s", b"", None, seq, seq, 1, seq * 1000)

    async def first_after(self, last_us: int, low: int, high: int) -> int:
        return min((seq for seq in self._stored if low <= seq < high and seq > last_us), default=high)


class ScriptedSession:
    """A PostgreSQL session without a server."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        yield


@pytest.mark.parametrize(
    ("stored", "closed", "missing", "compacted"),
    [
        pytest.param(set(), [], False, (1, 100, []), id="empty hole is closed"),
        pytest.param({15}, [], True, None, id="message in a hole is missing"),
        pytest.param({15}, [ClosedEpoch([(1, 21)], 20)], False, (1, 100, [(1, 21)]), id="a closed epoch has it"),
        pytest.param({15}, [ClosedEpoch([(1, 21)], 14)], True, None, id="a closed epoch had another message"),
        pytest.param({15, 18}, [ClosedEpoch([(1, 17)], 16)], True, None, id="a closed epoch has the first only"),
    ],
)
async def test_hole_is_missing_only_if_no_epoch_has_its_message(
    stored: set[int], closed: list[ClosedEpoch], missing: bool, compacted: tuple[int, int, Ranges] | None
) -> None:
    """A hole is closed unless it contains a message that no epoch has written; that message is reported."""
    ledger = ScriptedLedger(LedgerKey(Origin("s", 0, 1), "d", "f"), "t", [(1, 11), (21, 101)], 100, 100, tuple(closed))
    scripted: list[Any] = [ScriptedSession(), ScriptedStream(stored)]
    compactor = LedgerCompactor(scripted[0], ledger, scripted[1], "d")

    await compactor.check(ConsumerState("", 100, 100, 100, 0, 0, 1), idle=True)

    assert (missing, compacted) == (compactor.missing is not None, ledger.compacted)

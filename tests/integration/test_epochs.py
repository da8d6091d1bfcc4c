"""Epochs of the ledger on a real server: workers change to a new epoch together, and none writes in an older one."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from eventwriter.model import Message, Origin
from eventwriter.postgres.connect import Connection
from eventwriter.postgres.ledger.epochs import close_older_epochs, find_ledger_table, open_ledger, start_epoch
from eventwriter.postgres.ledger.ranges import Newest
from eventwriter.postgres.ledger.store import Ledger, LedgerKey
from eventwriter.postgres.migrate.files import shipped_migrations

KEY = LedgerKey(Origin("events", 1_000_000, 0), "durable", "filter")
OTHER_PARTITION = LedgerKey(Origin("events", 1_000_000, 0), "durable-1", "filter")
NOW_US = 10**15


@pytest.fixture
async def conns(database: str) -> AsyncIterator[tuple[Connection, Connection]]:
    """Connections of two workers to a database with a ledger."""
    with psycopg.connect(database, autocommit=True) as conn:
        for migration in shipped_migrations():
            if migration.table == "eventwriter_ledger":
                conn.execute(migration.sql)
    first = await psycopg.AsyncConnection.connect(database, autocommit=True)
    second = await psycopg.AsyncConnection.connect(database, autocommit=True)
    async with first, second:
        yield first, second


async def opened(conn: Connection, key: LedgerKey = KEY) -> Ledger:
    return await open_ledger(conn, await find_ledger_table(conn, None), key)


async def write(conn: Connection, ledger: Ledger, low: int, high: int) -> bool:
    """Record a batch of the sequences [low, high) in a transaction of its own."""
    async with conn.transaction():
        return await ledger.record(conn, [(low, high)], Newest(high - 1, (high - 1) * 1_000_000))


def message(seq: int, at_us: int) -> Message:
    return Message("", "s", b"", None, seq, seq, 2, at_us * 1000)


async def until_waiting(conn: Connection) -> None:
    """Wait until another session waits for a lock that this one holds."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))"
    async with asyncio.timeout(30):
        while (await (await conn.execute(waiting)).fetchone()) == (0,):  # noqa: ASYNC110  # nothing signals it
            await asyncio.sleep(0.02)


async def test_write_in_older_epoch_is_rejected(conns: tuple[Connection, Connection]) -> None:
    """A worker whose epoch another worker has closed records nothing, and learns why from the ledger."""
    slow, quick = conns
    old = await opened(slow)
    assert await write(slow, old, 1, 11)
    async with quick.transaction():
        new = await start_epoch(quick, await opened(quick))

    recorded = await write(slow, old, 11, 21)
    await old.refresh(slow)

    assert (False, True, [(1, 11)]) == (recorded, old.is_closed, old.committed)
    assert (1, 1) == (new.key.origin.epoch, (await opened(slow)).key.origin.epoch)
    assert await write(quick, new, 11, 21)


async def test_batch_in_progress_is_part_of_closed_epoch(conns: tuple[Connection, Connection]) -> None:
    """A new epoch starts only after a batch that is being committed, and knows its messages."""
    slow, quick = conns
    old, own = await opened(slow), await opened(quick)

    async def change() -> Ledger:
        async with quick.transaction():
            new = await start_epoch(quick, own)
            new.closed_epochs = await close_older_epochs(quick, new, NOW_US)
        return new

    async with slow.transaction():
        assert await old.record(slow, [(1, 11)], Newest(10, 10_000_000))
        changing = asyncio.ensure_future(change())
        await until_waiting(slow)
    new = await changing

    assert new.has_message(message(10, 10_000))
    assert not new.has_message(message(10, 10_001))


async def test_write_that_waited_for_closing_is_rejected(conns: tuple[Connection, Connection]) -> None:
    """A batch that waits for the row while its epoch is being closed is rejected, not added to the closed epoch."""
    slow, quick = conns
    old = await opened(slow)
    assert await write(slow, old, 1, 11)

    async with quick.transaction():
        await start_epoch(quick, await opened(quick))
        writing = asyncio.ensure_future(write(slow, old, 11, 21))
        await until_waiting(quick)
    recorded = await writing

    assert recorded is False


async def test_two_workers_start_one_epoch(conns: tuple[Connection, Connection]) -> None:
    """Two workers that detect the same regression start one new epoch, which both use."""
    first, second = conns
    ours, theirs = await opened(first), await opened(second)

    async def change(conn: Connection, ledger: Ledger) -> int:
        async with conn.transaction():
            return (await start_epoch(conn, ledger)).key.origin.epoch

    epochs = await asyncio.gather(change(first, ours), change(second, theirs))

    assert [1, 1] == epochs


async def test_workers_of_other_durables_change_too(conns: tuple[Connection, Connection]) -> None:
    """A regression concerns the stream, so the workers of its other partitions change to the new epoch as well."""
    first, second = conns
    ours, theirs = await opened(first), await opened(second, OTHER_PARTITION)
    assert await write(second, theirs, 1, 11)
    async with first.transaction():
        await start_epoch(first, ours)

    recorded = await write(second, theirs, 11, 21)
    again = await opened(second, OTHER_PARTITION)
    again.closed_epochs = await close_older_epochs(second, again, NOW_US)

    assert (False, 1, True) == (recorded, again.key.origin.epoch, again.has_message(message(5, 5_000)))


async def test_first_sequence_is_recorded_once(conns: tuple[Connection, Connection]) -> None:
    """Where the consumer began is recorded until the first batch is written, and kept by the next epoch."""
    first, second = conns
    ledger, other = await opened(first), await opened(second)
    await ledger.set_first_seq(first, 20)
    await other.set_first_seq(second, 10)
    assert await write(first, ledger, 13, 16)
    await ledger.set_first_seq(first, 16)

    async with first.transaction():
        following = await start_epoch(first, ledger)

    assert (10, 10, 10) == (ledger.first_seq, ledger.resume_seq(), following.first_seq)


async def test_first_sequence_of_older_row_is_not_above_its_ranges(conns: tuple[Connection, Connection]) -> None:
    """In a row that an older version wrote, the first range may begin below the consumer's ack floor."""
    conn, _ = conns
    ledger = await opened(conn)
    assert await write(conn, ledger, 5, 9)
    await ledger.refresh(conn)

    await ledger.set_first_seq(conn, 9)

    assert 5 == ledger.first_seq


async def test_hole_before_first_range_is_closed(conns: tuple[Connection, Connection]) -> None:
    """Below the ack floor, and from where the consumer began, holes contain no message that is still to be written."""
    conn, _ = conns
    ledger = await opened(conn)
    await ledger.set_first_seq(conn, 3)
    assert await write(conn, ledger, 11, 16)
    await ledger.refresh(conn)

    assert await ledger.compact(conn, 1, 15, elsewhere=[])
    assert [(3, 16)] == ledger.committed


async def test_closed_epoch_is_not_compacted(conns: tuple[Connection, Connection]) -> None:
    """Gaps are closed in the current epoch only, and not where a closed epoch has the messages."""
    conn, _ = conns
    ledger = await opened(conn)
    for low in (1, 11, 31):
        assert await write(conn, ledger, low, low + 5)
    await ledger.refresh(conn)

    compacted = await ledger.compact(conn, 1, 40, elsewhere=[(18, 25)])

    assert (True, [(1, 18), (25, 36)]) == (compacted, ledger.committed)

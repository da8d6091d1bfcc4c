"""Messages that are not decoded because the ledger has them, on a real server."""

import pytest
from fix_pipeline import MakeBench

from eventwriter.errors import Retryable
from eventwriter.model import Outcome, Trigger
from eventwriter.pipeline.batch import KNOWN

TABLE = "CREATE TABLE things (n int)"


async def test_known_messages_are_settled_without_rows(bench: MakeBench) -> None:
    """Messages that the ledger has are settled as written, and no row is written for them."""
    one = bench(TABLE)
    await one.settle({"n": 1}, {"n": 2})
    again = [one.message({"n": n}, stream_seq=n, num_delivered=2, timestamp_ns=1) for n in (1, 2)]

    list(one.batcher.add([(message, KNOWN) for message in again], False, 10**6, 0.0))
    settled = await one._copy(one.batcher.seal(Trigger.AGE))

    assert ([Outcome.WRITTEN] * 2, 2) == (list(settled.outcomes), settled.already_written)
    assert [(1,), (2,)] == one.read("SELECT n FROM things ORDER BY 1")


async def test_message_that_ledger_lost_is_not_settled(bench: MakeBench) -> None:
    """A message that was not decoded, and that the ledger lost meanwhile, is not settled, so the worker binds again."""
    one = bench(TABLE)
    await one.settle({"n": 1})
    lost = one.message({"n": 2})

    list(one.batcher.add([(lost, KNOWN)], False, 10**6, 0.0))
    with pytest.raises(Retryable):
        await one._copy(one.batcher.seal(Trigger.AGE))

    assert [("{[1,2)}",)] == one.read("SELECT committed::text FROM eventwriter_ledger")


async def test_other_message_of_same_sequence_is_written(bench: MakeBench) -> None:
    """A redelivery is recognized by sequence and timestamp, so another message of the same sequence is written."""
    one = bench(TABLE)
    old = one.message({"n": 1})
    new = one.message({"n": 2}, stream_seq=1, num_delivered=2)
    again = old._replace(num_delivered=2, reply="again")

    await one.settle(old, new, again)

    assert [(1,), (2,)] == one.read("SELECT n FROM things ORDER BY 1")


async def test_rows_of_earlier_batch_are_not_counted_again(bench: MakeBench) -> None:
    """Of a batch that the ledger has in part, only the rows and dead letters that it writes itself are counted."""
    one = bench(TABLE)
    first = [one.message({"n": 1}), one.message(b"garbage")]
    await one.settle(*first)

    again = [message._replace(num_delivered=2) for message in first]
    settled = await one.settle(*again, one.message({"n": 2}), one.message(b"more garbage"))

    assert (2, 1, 1) == (settled.already_written, settled.rows_already_written, len(settled.new_dead_letters()))
    assert [(1,), (2,)] == one.read("SELECT n FROM things ORDER BY 1")
    assert [(2,)] == one.read("SELECT count(*) FROM eventwriter_dead_letters")

"""When a batch is sealed: one table of rules."""

import pytest

from eventwriter.errors import Poison
from eventwriter.model import Message, Trigger
from eventwriter.pipeline.batcher import BatchLimits, Rows, Target, seal_trigger
from eventwriter.pipeline.coverage import Tracker

LIMITS = BatchLimits(messages=3, rows_max=6, bytes_max=1000, age_s_max=1.0)


def message(seq: int, num_delivered: int = 1, size: int = 1) -> Message:
    return Message(f"r{seq}.{num_delivered}", "s", b"x" * size, None, seq, seq, num_delivered, seq)


def rows_of() -> Rows:
    def build(record, message, index):
        if record.get("bad"):
            raise Poison("bad_value", "x")
        return (record["v"],) if "v" in record else None

    return Rows([Target(build, lambda row, out: out.extend(row[0].encode()))], LIMITS, Tracker(0, 0), (TypeError,))


def fill(rows: Rows, count: int, size: int = 1, free: bool = False) -> None:
    decoded = [(message(n + 1, size=size), [{"v": "a"}]) for n in range(count)]
    assert [] == list(rows.add(decoded, free, 10**6, 0.0))


@pytest.mark.parametrize(
    ("count", "size", "free", "waiting", "now_s", "expected"),
    [
        pytest.param(0, 1, True, 0, 99, None, id="an empty batch is never sealed"),
        pytest.param(2, 1, True, 0, 0.5, None, id="too few and too young"),
        pytest.param(2, 1, True, 0, 1.0, Trigger.AGE, id="old enough"),
        pytest.param(2, 1, False, 0, 9.0, None, id="old, but the copy stage is busy"),
        pytest.param(3, 1, True, 0, 0, Trigger.ROWS, id="enough messages"),
        pytest.param(3, 1, True, 2, 0, None, id="enough, but more wait at the server"),
        pytest.param(5, 1, True, 2, 0, Trigger.ROWS, id="what waited has come"),
        pytest.param(3, 400, False, 0, 0, Trigger.BYTES, id="too many bytes, whatever waits"),
    ],
)
def test_rule_of_sealing(count, size, free, waiting, now_s, expected) -> None:
    """A batch is sealed by the first rule that applies."""
    rows = rows_of()
    if count and size > 1:
        rows.open.messages = [message(n + 1, size=size) for n in range(count)]
        rows.open.payload_bytes = count * size
    else:
        fill(rows, count)

    assert expected == seal_trigger(rows.open, LIMITS, free, waiting, now_s)


def test_full_batch_is_sealed_whatever_waits() -> None:
    """A batch never has more messages than its maximum."""
    rows = rows_of()

    sealed = list(rows.add([(message(n + 1), [{"v": "a"}]) for n in range(13)], False, 10**6, 0.0))

    assert [6, 6, 1] == [*(len(batch) for batch in sealed), len(rows.open)]


def test_many_rows_in_a_message_fill_a_batch() -> None:
    """What is bounded is rows: a message of many fills a batch sooner, and is never split."""
    rows = rows_of()
    four = [{"v": "a"}] * 4

    sealed = list(rows.add([(message(n + 1), four) for n in range(3)], False, 10**6, 0.0))

    assert [2, 1] == [*(len(batch) for batch in sealed), len(rows.open)]
    assert Trigger.ROWS is sealed[0].trigger


def test_poison_in_a_message_takes_all_its_rows_back() -> None:
    """A message whose second record is poison has no rows at all, and its neighbours keep theirs."""
    rows = rows_of()

    list(
        rows.add(
            [(message(1), [{"v": "a"}]), (message(2), [{"v": "b"}, {"bad": 1}]), (message(3), [{"v": "c"}])],
            False,
            0,
            0,
        )
    )

    assert (b"ac", {1}, [1, 0, 1]) == (bytes(rows.open.buffers[0]), set(rows.open.dead), rows.open.rows)


def test_repeat_within_a_batch_is_answered_not_written() -> None:
    """A redelivery of a message that the open batch holds adds no row, and is acknowledged with it."""
    rows = rows_of()

    list(rows.add([(message(1), [{"v": "a"}]), (message(1, 2), [{"v": "a"}])], False, 0, 0))

    assert (b"a", ["r1.2"], 1) == (bytes(rows.open.buffers[0]), rows.open.repeats, len(rows.open))


def test_first_delivery_that_comes_twice_is_written_once() -> None:
    """What a consumer that was reset delivers as new, while the open batch holds it, adds no row to that batch."""
    rows = rows_of()
    # A reset begins both counts anew: the delivery's and the consumer's.
    again = message(1)._replace(reply="again")

    list(rows.add([(m, [{"v": "ab"[m.stream_seq - 1]}]) for m in (message(1), message(2), again)], False, 9, 0.0))
    batch = rows.seal(Trigger.AGE)

    assert (b"ab", [(1, 3)], ["again"], [1, 2]) == (
        bytes(batch.buffers[0]),
        batch.covered(),
        batch.repeats,
        [m.stream_seq for m in batch.messages],
    )


def test_batch_without_repeats_is_not_copied() -> None:
    """A batch whose deliveries only went back, and repeat nothing, is sealed as it is."""
    rows = rows_of()

    list(rows.add([(message(5), [{"v": "a"}]), (message(2), [{"v": "b"}])], False, 9, 0.0))
    opened = rows.open

    assert opened is rows.seal(Trigger.AGE)


def test_record_that_no_table_stores_is_poison() -> None:
    """A record that every table of the slot declines makes its message a dead letter, and takes back its other rows."""
    rows = rows_of()

    assert [] == list(rows.add([(message(1), [{"v": "a"}, {"w": "b"}]), (message(2), [{"v": "c"}])], False, 0, 0.0))
    assert (["no_table"], [0, 1], b"c") == (
        [poison.reason for poison in rows.open.dead.values()],
        rows.open.rows,
        bytes(rows.open.buffers[0]),
    )

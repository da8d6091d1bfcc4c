"""JetStream's numbers against the ledger's."""

from typing import Any

import pytest

from eventwriter.admin.verify.judge import Facts, committed, judge, repeated, size, spread
from eventwriter.jetstream.api import StreamState
from eventwriter.jetstream.consumer import ConsumerState
from eventwriter.postgres.ledger.ranges import Ranges
from eventwriter.postgres.ledger.verify_queries import LedgerRow

BORN_NS = 1_767_225_600_000_000_123


def stream(first: int, last: int) -> StreamState:
    """Return a stream with these sequences in it."""
    return StreamState("events", BORN_NS, first, last, ("a.>",), "limits")


def consumer(delivered: int, floor: int, start: int | None = 1) -> ConsumerState:
    """Return a consumer that has come that far."""
    return ConsumerState("", delivered, delivered, floor, delivered - floor, 0, start)


def row(ranges: Ranges, epoch: int = 0, hashed: str = "h", born_ns: int = BORN_NS) -> LedgerRow:
    """Return a row of the ledger."""
    return LedgerRow(born_ns // 1000, epoch, hashed, ranges, ranges[-1][1] - 1 if ranges else 0, 0, "")


def facts(rows: list[LedgerRow], state: StreamState, at: ConsumerState | None, **more: Any) -> Facts:
    """Return the facts of a durable that eventwriter made."""
    return Facts(state, at, more.pop("ours", True), rows, "h", **more)


CASES = [
    pytest.param(
        facts([row([(1, 101)])], stream(1, 100), consumer(100, 100)), {"known": [(1, 101)]}, id="all is in the ledger"
    ),
    pytest.param(
        facts([row([(1, 40), (50, 101)])], stream(1, 100), consumer(100, 100)), {"acknowledged": [(40, 50)]},
        id="a hole below the ack floor",
    ),
    pytest.param(
        facts([row([(1, 91)])], stream(1, 100), consumer(97, 80)),
        {"delivered": [(91, 98)], "undelivered": [(98, 101)], "unacked": [(81, 91)]},
        id="committed and not acknowledged, delivered and not committed, not delivered",
    ),
    pytest.param(
        facts([row([(1, 51)])], stream(61, 100), consumer(50, 50)),
        {"removed": [(51, 61)], "undelivered": [(61, 101)]},
        id="dropped before it was delivered",
    ),
    pytest.param(facts([], stream(500, 600), consumer(0, 0)),
        {"undelivered": [(500, 601)]}, id="nothing yet, late stream"),
    pytest.param(facts([], stream(1, 100), consumer(60, 60)),
        {"acknowledged": [(1, 61)]}, id="acknowledged, empty ledger"),
    pytest.param(
        facts([row([(51, 61)])], stream(1, 100), consumer(60, 60), ours=False),
        {"predating": [(1, 51)], "acknowledged": []},
        id="another writer's durable, taken over",
    ),
    pytest.param(
        facts([row([(51, 61)])], stream(1, 100), consumer(60, 60, start=51)),
        {"predating": [(1, 51)], "acknowledged": []},
        id="a durable made to begin later",
    ),
    pytest.param(
        facts([row([(1, 51)])], stream(1, 100), None),
        {"known": [(1, 51)], "acknowledged": [], "undelivered": [(51, 101)]},
        id="does not exist",
    ),
    pytest.param(
        facts([row([(1, 51)], born_ns=BORN_NS - 10**12)], stream(1, 100), consumer(50, 50)),
        {"acknowledged": [(1, 51)]},
        id="another life of the stream proves nothing",
    ),
    pytest.param(
        facts([row([(1, 51)], hashed="old"), row([(51, 101)])], stream(1, 100), consumer(100, 100)),
        {"known": [(1, 101)], "acknowledged": []}, id="written under other subjects",
    ),
    pytest.param(
        facts([row([(1, 40), (50, 101)])], stream(1, 100), consumer(100, 100), requested=(45, 48)),
        {"acknowledged": [(45, 48)], "known": []}, id="a range was asked for",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), CASES)
def test_sequences_are_sorted(given: Facts, expected: dict[str, Ranges]) -> None:
    """Each sequence is in the set that its ledger, ack floor and delivery say."""
    judged = judge(given, {})

    assert expected == {name: getattr(judged, name) for name in expected}


@pytest.mark.parametrize("given", [case.values[0] for case in CASES])
def test_every_sequence_is_in_one_set(given: Facts) -> None:
    """Of the sequences that are asked for and in the stream, each is in exactly one of the sets."""
    judged = judge(given, {})

    low = max(given.stream.first_seq, given.requested[0])
    count = min(given.stream.last_seq + 1, given.requested[1]) - low
    sets = (judged.known, judged.predating, judged.acknowledged, judged.delivered, judged.undelivered)
    assert count == sum(map(size, sets))


def test_sequences_given_out_again_are_not_the_old_epoch_s() -> None:
    """An epoch that is over accounts only for what comes before the first sequence given out again."""
    rows = [row([(1, 101)]), row([(61, 71)], epoch=1)]

    assert [(1, 31), (61, 71)] == committed(rows, {0: 31})


@pytest.mark.parametrize(
    ("rows", "cutoffs", "expected"),
    [
        ([row([(1, 101)]), row([(61, 121)], epoch=1)], {}, [(61, 101)]),
        ([row([(1, 101)]), row([(61, 121)], epoch=1)], {0: 81}, [(61, 81)]),
        ([row([(1, 101)]), row([(61, 121)], epoch=1)], {0: 61}, []),
        ([row([(1, 11)]), row([(5, 8)], epoch=1), row([(20, 30)], epoch=2), row([(7, 25)], epoch=3)], {},
         [(5, 11), (20, 25)]),
        ([row([(1, 51)], hashed="old"), row([(41, 101)])], {}, []),
        ([], {}, []),
    ],
)  # fmt: skip
def test_sequences_of_several_epochs_are_named(
    rows: list[LedgerRow], cutoffs: dict[int, int], expected: Ranges
) -> None:
    """What two epochs account for is doubtful, but for what has been given out again; two filters are no epochs."""
    assert expected == repeated(rows, cutoffs)


def test_doubtful_sequences_are_those_that_are_asked_for() -> None:
    """Of sequences that several epochs have only those of the range are named."""
    rows = [row([(1, 101)]), row([(61, 121)], epoch=1)]

    judged = judge(facts(rows, stream(1, 120), consumer(120, 120), requested=(90, 200)), {})

    assert [(90, 101)] == judged.ambiguous


@pytest.mark.parametrize(
    ("given", "most", "expected"),
    [
        ([(1, 4), (10, 12)], 10, [1, 2, 3, 10, 11]),
        ([(1, 1001)], 3, [1, 500, 1000]),
        ([(1, 3), (100, 102)], 2, [1, 101]),
        ([(5, 9)], 1, [8]),
        ([], 5, []),
    ],
)
def test_looks_are_spread_evenly(given: Ranges, most: int, expected: list[int]) -> None:
    """At most so many sequences are looked at, the first and the last of all ranges among them."""
    assert expected == spread(given, most)

"""When a stream is told to have gone backwards."""

import pytest

from eventwriter.postgres.ledger.epochs import StreamEnd, went_backwards


@pytest.mark.parametrize(
    ("known", "last_seq", "stored_us", "expected"),
    [
        pytest.param(10, 10, 1000, False, id="it ends where the ledger does"),
        pytest.param(10, 50, 1000, False, id="it has gone on"),
        pytest.param(10, 9, None, True, id="it ends before the ledger does"),
        pytest.param(10, 50, 1001, True, id="another message has the ledger's last sequence"),
        pytest.param(10, 50, None, False, id="the message is gone, or may not be asked for"),
        pytest.param(0, 0, None, False, id="the ledger is empty"),
    ],
)
async def test_backwards(known: int, last_seq: int, stored_us: int | None, expected: bool) -> None:
    """A stream went backwards if it ends before the ledger, or gave the ledger's last sequence to another message."""

    async def stored(seq: int) -> int | None:
        assert known == seq
        return stored_us

    assert expected is await went_backwards(known, 1000, StreamEnd(last_seq, stored))

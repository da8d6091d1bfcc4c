"""Detection of a stream that went backwards."""

import pytest

from eventwriter.postgres.ledger.epochs import StreamEnd, went_backwards


@pytest.mark.parametrize(
    ("known", "last_seq", "stored_us", "expected"),
    [
        pytest.param(10, 10, 1000, False, id="ends at the last sequence of the ledger"),
        pytest.param(10, 50, 1000, False, id="ends later"),
        pytest.param(10, 9, None, True, id="ends before the ledger"),
        pytest.param(10, 50, 1001, True, id="another message at the last sequence"),
        pytest.param(10, 50, None, False, id="message deleted or not readable"),
        pytest.param(0, 0, None, False, id="empty ledger"),
    ],
)
async def test_stream_goes_backwards_if_it_ends_earlier_or_reuses_a_sequence(
    known: int, last_seq: int, stored_us: int | None, expected: bool
) -> None:
    """A stream went backwards if it ends before the ledger or has a later message at the ledger's last sequence."""

    async def stored(seq: int) -> int | None:
        assert known == seq
        return stored_us

    assert expected is await went_backwards(known, 1000, StreamEnd(last_seq, stored))

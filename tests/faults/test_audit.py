"""The audit by itself: what it is to find, it finds."""

import pytest
from faults.audit import Letter, Row, audit

ROWS: list[Row] = [(5, 5.0), (6, 6.0), (8, 8.0)]
LETTERS: list[Letter] = [(b"garbage 7", "malformed")]
GOOD: Letter = (b'{"value":5}', "malformed")
OTHER = "rows whose value is not their number's: "
STORED = {5: 105, 6: 106, 7: 107, 8: 108}


def test_books_that_balance() -> None:
    """A row for each message and a dead letter for each piece of garbage is well."""
    found = audit(ROWS, LETTERS, STORED, set())

    assert ([], [], 1, []) == (found.lost, found.twice, found.dead, found.wrong)


@pytest.mark.parametrize(
    ("rows", "letters", "wrong"),
    [
        pytest.param(ROWS[1:], LETTERS, "1 of 4 lost, stream sequences: [105]", id="a row lost"),
        pytest.param(ROWS, [], "1 of 4 lost, stream sequences: [107]", id="a dead letter lost"),
        pytest.param([*ROWS, ROWS[0]], LETTERS, "1 twice, stream sequences: [105]", id="a row twice"),
        pytest.param(ROWS, LETTERS * 2, "1 twice, stream sequences: [107]", id="a dead letter twice"),
        pytest.param(ROWS[1:], [*LETTERS, GOOD], "dead letters that are no garbage: ", id="good one dead"),
        pytest.param([*ROWS, (9, 9.0)], LETTERS, "rows of what was never published: [9]", id="a row of nothing"),
        pytest.param([(5, 6.0), *ROWS[1:]], LETTERS, OTHER + "[(5, 6.0)]", id="mixed up"),
        pytest.param([(5, None), *ROWS[1:]], LETTERS, OTHER + "[(5, None)]", id="empty"),
    ],
)
def test_books_that_do_not(rows: list[Row], letters: list[Letter], wrong: str) -> None:
    """What is lost, there twice, or of other content is named."""
    assert wrong in "; ".join(audit(rows, letters, STORED, set()).wrong)


def test_excused_may_be_missing_and_never_twice() -> None:
    """A message that the fault took out of the stream may have no row; two it must not have."""
    assert [] == audit(ROWS[1:], LETTERS, STORED, {5}).wrong
    assert [5] == audit([*ROWS, ROWS[0]], LETTERS, STORED, {5}).twice

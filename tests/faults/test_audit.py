"""The audit itself finds lost, duplicated and altered messages."""

import pytest
from faults.audit import DeadLetter, Row, audit

ROWS: list[Row] = [(5, 5.0), (6, 6.0), (8, 8.0)]
DEAD_LETTERS: list[DeadLetter] = [(b"garbage 7", "malformed")]
VALID: DeadLetter = (b'{"value":5}', "malformed")
ALTERED = "rows with the value of another message: "
STORED = {5: 105, 6: 106, 7: 107, 8: 108}


def test_one_row_or_dead_letter_for_each_message_has_no_problems() -> None:
    """A row for each valid message and a dead letter for each garbage message pass the audit."""
    found = audit(ROWS, DEAD_LETTERS, STORED, set())

    assert ([], [], 1, []) == (found.lost, found.duplicated, found.dead, found.problems)


@pytest.mark.parametrize(
    ("rows", "dead_letters", "problem"),
    [
        pytest.param(ROWS[1:], DEAD_LETTERS, "1 of 4 lost, stream sequences: [105]", id="lost row"),
        pytest.param(ROWS, [], "1 of 4 lost, stream sequences: [107]", id="lost dead letter"),
        pytest.param([*ROWS, ROWS[0]], DEAD_LETTERS, "1 duplicated, stream sequences: [105]", id="duplicate row"),
        pytest.param(ROWS, DEAD_LETTERS * 2, "1 duplicated, stream sequences: [107]", id="duplicate dead letter"),
        pytest.param(ROWS[1:], [*DEAD_LETTERS, VALID], "dead letters of valid messages: ", id="valid dead letter"),
        pytest.param([*ROWS, (9, 9.0)], DEAD_LETTERS, "that were not published: [9]", id="unpublished row"),
        pytest.param([(5, 6.0), *ROWS[1:]], DEAD_LETTERS, ALTERED + "[(5, 6.0)]", id="other value"),
        pytest.param([(5, None), *ROWS[1:]], DEAD_LETTERS, ALTERED + "[(5, None)]", id="no value"),
    ],
)
def test_difference_is_reported(rows: list[Row], dead_letters: list[DeadLetter], problem: str) -> None:
    """A lost, duplicated or altered message is reported with its sequence."""
    assert problem in "; ".join(audit(rows, dead_letters, STORED, set()).problems)


def test_optional_message_may_be_missing_but_not_duplicated() -> None:
    """A message that the fault removed from the stream may have no row, but never two."""
    assert [] == audit(ROWS[1:], DEAD_LETTERS, STORED, {5}).problems
    assert [5] == audit([*ROWS, ROWS[0]], DEAD_LETTERS, STORED, {5}).duplicated

"""The demo's books, as arithmetic."""

import pytest

from eventwriter.demo.audit import Audit, all_balance, compared, read, total
from eventwriter.errors import Retryable


@pytest.mark.parametrize(
    ("published", "rows", "dead", "records", "lost", "duplicated"),
    [
        pytest.param(10, (9, 9), (1, 1), 1, 0, 0, id="each message once"),
        pytest.param(10, (45, 9), (1, 1), 5, 0, 0, id="five rows from each message"),
        pytest.param(10, (8, 8), (1, 1), 1, 1, 0, id="one lost"),
        pytest.param(10, (10, 9), (1, 1), 1, 0, 1, id="one row twice"),
        pytest.param(10, (9, 9), (2, 1), 1, 0, 1, id="one dead letter twice"),
        pytest.param(10, (44, 9), (1, 1), 5, 0, -1, id="one record of a message lost"),
        pytest.param(10, (10, 10), (1, 1), 1, -1, 0, id="written and a dead letter as well"),
        pytest.param(0, (0, 0), (0, 0), 1, 0, 0, id="nothing published"),
    ],
)
def test_books_are_compared(
    published: int, rows: tuple[int, int], dead: tuple[int, int], records: int, lost: int, duplicated: int
) -> None:
    """What is lost and what is there too often follows from the counts; either spoils the balance."""
    books = compared(published, rows, dead, records)

    assert (lost, duplicated, lost == duplicated == 0) == (books.lost, books.duplicated, books.balance)


def test_excess_does_not_make_good_a_loss() -> None:
    """Books of two streams do not balance because one has too many where the other has too few."""
    books = [Audit(10, 9, 9), Audit(10, 11, 11)]

    assert total(books).balance
    assert not all_balance(books)


def test_books_are_one_line() -> None:
    """The line says everything in a form that programs can read."""
    line = total([compared(10, (8, 8), (1, 1), 1), compared(5, (6, 5), (0, 0), 1)]).line()

    assert "published=15 rows=14 dead_letters=1 lost=1 duplicated=1" == line


def test_database_that_is_gone_is_a_sentence() -> None:
    """Books that cannot be read prove nothing, and say so."""
    with pytest.raises(Retryable, match=r"books cannot be read, so nothing is proven: .*refused"):
        read("postgresql://postgres@127.0.0.1:1/postgres", {"telemetry": 1})

"""Arithmetic of the demo's audit."""

import pytest

from eventwriter.demo.audit import Audit, all_balanced, compare, read, total
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
def test_compare_counts_lost_and_duplicated(
    published: int, rows: tuple[int, int], dead: tuple[int, int], records: int, lost: int, duplicated: int
) -> None:
    """Lost and duplicated messages follow from the counts, and either unbalances the audit."""
    result = compare(published, rows, dead, records)

    assert (lost, duplicated, lost == duplicated == 0) == (result.lost, result.duplicated, result.balanced)


def test_surplus_does_not_offset_a_loss() -> None:
    """Two audits are not balanced if a surplus in one offsets a loss in the other."""
    audits = [Audit(10, 9, 9), Audit(10, 11, 11)]

    assert total(audits).balanced
    assert not all_balanced(audits)


def test_line_has_all_counts() -> None:
    """The line holds all counts in a form that programs can parse."""
    line = total([compare(10, (8, 8), (1, 1), 1), compare(5, (6, 5), (0, 0), 1)]).line()

    assert "published=15 rows=14 dead_letters=1 lost=1 duplicated=1" == line


def test_unreachable_database_raises_retryable() -> None:
    """An audit that cannot query the database raises an error with the reason."""
    with pytest.raises(Retryable, match=r"audit failed because .*refused"):
        read("postgresql://postgres@127.0.0.1:1/postgres", {"telemetry": 1})

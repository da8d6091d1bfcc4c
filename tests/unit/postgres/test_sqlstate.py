"""Looking codes up."""

import pytest

from eventwriter.postgres.sqlstate import VERDICTS, Verdict, beside_rows, verdict


@pytest.mark.parametrize(
    ("code", "fatal", "meant"),
    [
        (None, False, Verdict.RETRY),
        ("22003", False, Verdict.BISECT),
        ("23505", False, Verdict.DUPLICATE),
        ("23503", False, Verdict.BISECT),
        ("57P01", True, Verdict.RETRY),
        ("57014", False, Verdict.HALVE),
        ("25P04", True, Verdict.HALVE),
        ("08P01", False, Verdict.BISECT),
        ("08P01", True, Verdict.RETRY),
        ("42P01", False, Verdict.PARK),
        ("ZZ999", False, Verdict.UNKNOWN),
        ("ZZ999", True, Verdict.UNKNOWN),
    ],
)
def test_code_is_looked_up_whole_and_then_by_class(code: str | None, fatal: bool, meant: Verdict) -> None:
    """A code of its own wins over its class; an ended connection blames no row."""
    assert meant is verdict(code, fatal)


@pytest.mark.parametrize("found", Verdict)
def test_beside_rows_nothing_blames_a_message(found: Verdict) -> None:
    """Where no row was written, no verdict leads to a dead letter or to halves."""
    assert beside_rows(found) in (Verdict.RETRY, Verdict.AGAIN, Verdict.PARK, Verdict.UNKNOWN)


def test_keys_are_codes_or_classes() -> None:
    """A row that no code can meet would be a mistake."""
    assert [] == [key for key in VERDICTS if len(key) not in (2, 5) or not key.isalnum() or key != key.upper()]

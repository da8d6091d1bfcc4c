"""Looking codes up."""

import pytest

from eventwriter.postgres.errors import VERDICTS, Verdict, beside_rows, verdict


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


DESIGNED = {
    Verdict.RETRY: "08000 08001 08003 08004 08006 25006 53000 53100 53300 55006 55P03 57000 57P01 57P02 57P03 57P04"
    " 57P05 58000 58030 58P01",
    Verdict.AGAIN: "40001 40003 40P01",
    Verdict.HALVE: "57014 25P04 53200 53400",
    Verdict.DUPLICATE: "23505",
    Verdict.BISECT: "22000 22001 22003 22007 22008 22012 22021 22P02 22P03 22P05 23000 23502 23503 23514 23P01 54000"
    " P0001 P0002 P0004",
    Verdict.PARK: "28000 28P01 3D000 3F000 42501 42601 42703 42804 42883 42P01 0A000 55000",
    Verdict.UNKNOWN: "XX000 XX001 25P02 26000 99999",
}
"""What the design says of single codes, without looking into the table."""


@pytest.mark.parametrize(
    ("meant", "code"), [(meant, code) for meant, text in DESIGNED.items() for code in text.split()]
)
def test_code_means_what_was_designed(meant: Verdict, code: str) -> None:
    """A row that is changed by mistake is seen."""
    assert meant is verdict(code)

"""Verdicts, codes and hints of SQLSTATEs."""

import pytest

from eventwriter.postgres.errors import (
    CODES,
    VERDICTS,
    Rejected,
    Verdict,
    code_and_hint,
    verdict_for,
    verdict_without_rows,
)


@pytest.mark.parametrize(
    ("code", "fatal", "expected"),
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
def test_verdict_is_looked_up_by_code_and_then_by_class(code: str | None, fatal: bool, expected: Verdict) -> None:
    """An entry for the whole code wins over one for its class; a fatal error is not attributed to rows."""
    assert expected is verdict_for(code, fatal)


@pytest.mark.parametrize("verdict", Verdict)
def test_error_without_rows_is_not_attributed_to_a_message(verdict: Verdict) -> None:
    """An error of a step that writes no rows leads neither to a dead letter nor to a smaller batch."""
    assert verdict_without_rows(verdict) in (Verdict.RETRY, Verdict.AGAIN, Verdict.PARK, Verdict.UNKNOWN)


def test_keys_of_the_tables_are_codes_or_prefixes() -> None:
    """Every key of the tables can match a SQLSTATE."""
    assert [] == [key for key in VERDICTS if len(key) not in (2, 5) or not key.isalnum() or key != key.upper()]
    assert [] == [key for key in CODES if len(key) not in (2, 3, 5) or not key.isalnum() or key != key.upper()]


EXPECTED = {
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
"""Verdicts of single codes by the design, independent of the table."""


@pytest.mark.parametrize(
    ("expected", "code"), [(expected, code) for expected, codes in EXPECTED.items() for code in codes.split()]
)
def test_code_has_the_verdict_of_the_design(expected: Verdict, code: str) -> None:
    """Each code of the design has the verdict that the design gives it."""
    assert expected is verdict_for(code)


@pytest.mark.parametrize(
    ("sqlstate", "expected"),
    [
        (None, "connection_lost"),
        ("08006", "connection_lost"),
        ("25006", "read_only_server"),
        ("28P01", "login_refused"),
        ("42P01", "table_missing"),
        ("42501", "privilege_missing"),
        ("53100", "disk_full"),
        ("53500", "server_resources_exhausted"),
        ("57P01", "server_shutdown"),
        ("57P03", "server_starting"),
        ("57014", "statement_timeout"),
        ("ZZ999", "other"),
    ],
)
def test_error_code_is_looked_up_by_the_longest_prefix(sqlstate: str | None, expected: str) -> None:
    """The most specific entry determines the code; an unlisted SQLSTATE has the default."""
    assert expected == code_and_hint(sqlstate, "other")[0]


def test_rejected_error_has_code_and_hint_of_its_sqlstate() -> None:
    """A rejected statement carries the code, and the hint for the operator."""
    error = Rejected(Verdict.PARK, "42P01", 'relation "x" does not exist')

    assert ("table_missing", 'run "eventwriter migrate"') == (error.code, error.hint)

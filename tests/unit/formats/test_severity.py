"""Tests of severity numbers."""

import pytest

from eventwriter.formats import severity


@pytest.mark.parametrize(
    ("level", "number"),
    [
        ("trace", 1), ("debug", 5), ("info", 9), ("informational", 9), ("Information", 9), ("NOTICE", 10), ("warn", 13),
        (" Warning ", 13), ("err", 17), ("error", 17), ("crit", 18), ("critical", 18), ("alert", 19), ("emerg", 21),
        ("emergency", 21), ("panic", 21), ("fatal", 21), ("very high", 18), ("Very_High", 18), ("High", 17),
        ("medium", 13), ("low", 9), ("Unknown", None), ("ERROR3", 19), ("info2", 10), ("FATAL4", 24),
        (0, 21), (1, 19), (2, 18), (3, 17), (4, 13), (5, 10), (6, 9), (7, 5), ("3", 17), (6.0, 9),
        ("INFO+2", 11), ("DEBUG-4", 1), ("WARN+1", 14), ("ERROR-1", 16), ("info+2", None), ("ERROR+100", 24),
        ("dpanic", 18), ("http", 8), ("verbose", 7), ("silly", 1), ("severe", 17), ("success", 9),
        (10, 1), (20, 5), (30, 9), (35, 9), (40, 13), (50, 17), (60, 21), (70, None), (400, 17), (250, 10),
        (8, None), (-1, None), ("weird", None), ("", None), (None, None), (True, None), (2.5, None), ([], None),
        ("٣", None), (float("nan"), None), (float("inf"), None), ("9" * 5000, None),
    ],
)  # fmt: skip
def test_level_has_severity_number(level: object, number: int | None) -> None:
    """Level names in any case and syslog levels have a severity number; other values have none."""
    assert number == severity.level_number(level)


@pytest.mark.parametrize(
    ("given", "number"),
    [("SEVERITY_NUMBER_ERROR", 17), ("severity_number_info2", 10), ("SEVERITY_NUMBER_X", None), (1, 1), (24, 24),
     (9.0, 9), ("17", 17), (0, None), (25, None), (10**20, None), ("x", None), (True, None)],
)  # fmt: skip
def test_severity_number_is_converted(given: object, number: int | None) -> None:
    """A number from 1 to 24 is accepted, also as text; any other value is None."""
    assert number == severity.known_number(given)


def test_severity_number_has_a_name() -> None:
    """Each range of four numbers has a name."""
    assert ["TRACE", "TRACE", "DEBUG", "INFO", "INFO", "WARN", "ERROR", "FATAL", "FATAL"] == [
        severity.name(number) for number in (1, 4, 5, 9, 12, 13, 20, 21, 24)
    ]
